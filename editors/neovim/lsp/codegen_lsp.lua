-- The client configuration Neovim reads for `vim.lsp.enable('codegen_lsp')`.
-- It knows how the server is started and for which files; which model is used is the server's
-- business and is set under `settings.codegen`.

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
  on_attach = function(client, buffer)
    require('codegen_lsp').tell_of_moves(client, buffer)
  end,
}
