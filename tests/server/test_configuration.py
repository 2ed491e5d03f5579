"""Settings from the editor: every way they come, live changes, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.raw_client import Json, RawClient, echo_command

PULLS: Json = {"workspace": {"configuration": True}}
REGISTERS: Json = {"textDocument": {"completion": {"dynamicRegistration": True}}}
ITEMS = {"completionItems": True}
URI = "file:///a.py"
MENU: Json = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 3}}


def model(client: RawClient) -> str:
    """The model setting that completions are asked with, as the server's own complaint has it."""
    del client.errors[:]
    client.open(URI, "ok\nbroken")
    client.complete(URI, 0, 0)  # a success, so that the same trouble is named again
    client.complete(URI, 1, 6)
    return client.logged("no completions: no model ").split("'")[1]


def answer(client: RawClient, settings: object) -> None:
    """Answer the server's request for its settings."""
    request = client.asked("workspace/configuration")
    assert request["params"] == {"items": [{"section": "codegen"}]}
    client.respond(request["id"], result=[settings])


@pytest.mark.parametrize("options", [{"model": "m1"}, {"codegen": {"model": "m1"}}])
def test_initialization_options(server: RawClient, options: Json) -> None:
    """With and without the section's name."""
    server.initialize(initializationOptions=options)
    assert model(server) == "m1"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"modle": "x"}, "initializationOptions: unknown setting 'modle' is ignored; did you mean"),
        ({"threads": "many"}, "initializationOptions: setting 'threads' is ignored"),
        ("fast please", "initializationOptions: settings are ignored: expected an object"),
        ([1], "initializationOptions: settings are ignored: expected an object"),
    ],
)
def test_wrong_settings_are_named_once_and_ignored(
    server: RawClient, options: object, line: str
) -> None:
    """The server starts with the defaults and serves."""
    server.initialize(initializationOptions=options)
    assert model(server) == "bundled"
    server.notify("workspace/didChangeConfiguration", {"settings": {"codegen": {"model": "m2"}}})
    assert model(server) == "m2"
    assert sum(line in str(one["params"]) for one in server.notifications) == 1


def test_settings_are_pulled_and_pulled_again(server: RawClient) -> None:
    """After ``initialized``, and whenever the editor says that they have changed."""
    server.initialize(capabilities=PULLS, initializationOptions={"model": "m1", "threads": 2})
    answer(server, {"model": "m2"})
    assert model(server) == "m2"
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    answer(server, None)
    assert model(server) == "m1"
    server.notify("workspace/didChangeConfiguration", {"settings": {}})
    answer(server, {"model": 5, "nonsense": 1})
    server.logged("editor: setting 'model' is ignored")
    server.logged("editor: unknown setting 'nonsense' is ignored")
    assert model(server) == "m1"


def test_an_editor_that_does_not_answer(server: RawClient) -> None:
    """Completions do not wait for settings; an error instead of them is a line in the log."""
    server.initialize(capabilities=PULLS)
    assert model(server) == "bundled"
    request = server.asked("workspace/configuration")
    server.respond(request["id"], error={"code": 1, "message": "no"})
    server.logged("the editor did not tell its settings")
    assert model(server) == "bundled"


def test_changes_can_be_registered_for(server: RawClient) -> None:
    """VS Code sends changes only to servers that register for them."""
    server.initialize(
        capabilities={"workspace": {"didChangeConfiguration": {"dynamicRegistration": True}}}
    )
    (registration,) = server.asked("client/registerCapability")["params"]["registrations"]
    assert registration["method"] == "workspace/didChangeConfiguration"
    assert registration["registerOptions"] == {"section": "codegen"}


def test_files_of_user_and_workspace(tmp_path: Path) -> None:
    """The workspace's file wins over the user's, the editor over both; broken ones are named."""
    home, folder, broken = tmp_path / "home", tmp_path / "folder", tmp_path / "broken"
    for one in (home, folder, broken):
        one.mkdir()
    (home / "settings.toml").write_text('model = "of the user"\nthreads = 3\n')
    (folder / ".codegen-lsp.toml").write_text('model = "of the folder"\n')
    (broken / ".codegen-lsp.toml").write_text("model = \n")
    folders = [{"uri": one.as_uri(), "name": one.name} for one in (folder, broken)]
    for options, expected in ((None, "of the folder"), ({"model": "editor's"}, "editor")):
        client = RawClient(echo_command(), CODEGEN_LSP_HOME=str(home))
        try:
            client.initialize(workspaceFolders=folders, initializationOptions=options)
            client.logged("is not TOML")
            assert model(client) == expected
        finally:
            client.end()


def test_folders_come_and_go_with_their_settings(server: RawClient, tmp_path: Path) -> None:
    """Also one that the editor names the old way, as the root."""
    (tmp_path / ".codegen-lsp.toml").write_text('model = "of the root"\n')
    other = tmp_path / "other"
    other.mkdir()
    (other / ".codegen-lsp.toml").write_text('model = "of the other"\n')
    server.initialize(rootUri=tmp_path.as_uri())
    assert model(server) == "of the root"
    folder = {"uri": other.as_uri(), "name": "other"}
    for event, expected in (
        ({"added": [folder], "removed": []}, "of the other"),
        ({"added": [], "removed": [folder]}, "of the root"),
    ):
        server.notify("workspace/didChangeWorkspaceFolders", {"event": event})
        assert model(server) == expected


def test_log_level(server: RawClient) -> None:
    """What the user does not want to read is written nowhere."""
    server.initialize(initializationOptions={"logLevel": "error"})
    assert server.complete("file:///never-opened.py", 0, 0) == {"items": []}
    assert model(server) == "bundled"
    assert not any("not open" in line for line in server.errors)
    assert all(one["params"]["type"] == 1 for one in server.notifications)


def test_the_menu_is_not_offered_unless_asked_for(server: RawClient) -> None:
    """``textDocument/completion`` is opt-in, and answers nothing until then."""
    capabilities = server.initialize()["result"]["capabilities"]
    assert capabilities["inlineCompletionProvider"] == {}
    assert "completionProvider" not in capabilities
    server.open(URI, "x\nret")
    assert server.request("textDocument/completion", MENU)["result"]["items"] == []


def test_the_menu_by_initialization_options(server: RawClient) -> None:
    """Offered at ``initialize``; the item replaces the word too, because menus filter by it."""
    capabilities = server.initialize(initializationOptions=ITEMS)["result"]["capabilities"]
    assert "." in capabilities["completionProvider"]["triggerCharacters"]
    server.open(URI, "x\nret\nnothing\nwait")
    result = server.request("textDocument/completion", MENU)["result"]
    (item,) = result["items"]
    assert result["isIncomplete"] is True
    assert item["label"] == "ret⟨5 of 18: x"
    assert item["textEdit"] == {
        "range": {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 3}},
        "newText": "ret⟨5 of 18: x\nret⟩",
    }
    assert item["filterText"].startswith("ret")
    assert item["detail"] == "codegen-lsp"
    assert item["insertTextFormat"] == 1
    assert not item.get("preselect")
    nothing = {**MENU, "position": {"line": 2, "character": 7}}
    assert server.request("textDocument/completion", nothing)["result"]["items"] == []
    waiting = {**MENU, "position": {"line": 3, "character": 4}}
    older = server.post("textDocument/completion", waiting)
    assert server.request("textDocument/completion", MENU)["result"]["items"]
    assert server.answer(older)["result"] is None


def test_the_menu_is_registered_and_switched_off_live(server: RawClient) -> None:
    """A changed setting is told to editors that can hear it, and obeyed at once."""
    server.initialize(capabilities=REGISTERS)
    server.open(URI, "x\nret")
    for settings, items in ((ITEMS, 1), ({"completionItems": False}, 0), (ITEMS, 1)):
        server.notify("workspace/didChangeConfiguration", {"settings": {"codegen": settings}})
        result = server.request("textDocument/completion", MENU)["result"]
        assert len(result["items"]) == items
    (registration,) = server.asked("client/registerCapability")["params"]["registrations"]
    assert registration["method"] == "textDocument/completion"
    assert registration["registerOptions"]["documentSelector"] is None


def test_the_menu_for_editors_that_cannot_be_told(server: RawClient) -> None:
    """They are told what to do."""
    server.initialize()
    server.notify("workspace/didChangeConfiguration", {"settings": {"codegen": ITEMS}})
    server.logged("this editor takes 'completionItems' only at its start: restart the server")
