-- The client configuration Neovim reads for `vim.lsp.enable('codegen_lsp')`.
-- It knows how the server is started and for which files; which model is used is the server's
-- business and is set under `settings.codegen`.

--- Tells the server where the cursor is when it is only moved, for which LSP has no word: where it
--- rests, the code around is read before anything is asked there.
---
---@param client vim.lsp.Client
---@param buffer integer
local function tell_of_moves(client, buffer)
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

---@type vim.lsp.Config
return {
  cmd = { 'codegen-lsp', '--stdio' },
  filetypes = {
    'c',
    'cpp',
    'go',
    'java',
    'javascript',
    'javascriptreact',
    'lua',
    'php',
    'python',
    'ruby',
    'rust',
    'sh',
    'typescript',
    'typescriptreact',
  },
  root_markers = { '.git', 'pyproject.toml', 'package.json', 'go.mod', 'Cargo.toml' },
  settings = { codegen = vim.empty_dict() },
  on_attach = tell_of_moves,
}
