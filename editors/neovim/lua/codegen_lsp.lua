-- Accepting ghost text while the user goes on typing, and telling the server where he looks.
-- Asking and showing are Neovim's own `vim.lsp.inline_completion`; nothing of it is replaced here.

local M = {}

--- Takes the characters typed since the request out of the buffer again.
---
--- Neovim 0.12 puts an accepted item at the place where it was asked for, and leaves what was
--- typed since then behind it: `re` typed into the ghost text `return x` became `return xre`.
--- The server's ranges start at the cursor, so all between the start and the cursor is new.
---
---@param item vim.lsp.inline_completion.Item
---@return vim.lsp.inline_completion.Item? item nil when the text typed is not the one proposed
local function take_back_typed(item)
  if type(item.insert_text) ~= 'string' or not item.range then
    return item
  end
  local row, col = item.range:to_extmark()
  local cursor = vim.api.nvim_win_get_cursor(0)
  local cursor_row, cursor_col = cursor[1] - 1, cursor[2]
  if cursor_row ~= row or cursor_col < col then
    return nil
  end
  local typed = vim.api.nvim_buf_get_text(0, row, col, row, cursor_col, {})[1]
  if not vim.startswith(item.insert_text, typed) then
    return nil
  end
  vim.api.nvim_buf_set_text(0, row, col, row, cursor_col, {})
  return item
end

--- Puts the ghost text that is shown into the buffer.
---
---@return boolean # whether there was one; false lets a mapping fall back to its usual key
function M.accept()
  return vim.lsp.inline_completion.get({ on_accept = take_back_typed })
end

--- Tells the server where the cursor is when it is only moved, for which LSP has no word: where it
--- rests, the code around is read before anything is asked there.
---
---@param client vim.lsp.Client
---@param buffer integer
function M.tell_of_moves(client, buffer)
  vim.api.nvim_create_autocmd({ 'BufEnter', 'CursorMoved' }, {
    group = vim.api.nvim_create_augroup('codegen_lsp_' .. buffer, {}),
    buffer = buffer,
    desc = 'codegen_lsp: the cursor was moved',
    callback = function()
      if client:is_stopped() or not vim.lsp.buf_is_attached(buffer, client.id) then
        return true -- which removes this
      end
      local place = vim.lsp.util.make_position_params(0, client.offset_encoding)
      client:notify('codegen/didMoveCursor', place)
    end,
  })
end

return M
