"""Settings: every value is judged alone, and the strongest layer wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen_lsp.config.options import parse_options
from codegen_lsp.config.settings import Settings
from codegen_lsp.config.sources import (
    Layer,
    environment_layer,
    resolve,
    user_layer,
    workspace_layer,
)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("modle", "x", "unknown setting 'modle' is ignored; did you mean 'model'?"),
        ("telemetry", True, "unknown setting 'telemetry' is ignored"),
        ("max_new_tokens", 5, "did you mean 'maxNewTokens'?"),
        ("model", "", "setting 'model' is ignored"),
        ("model", 3, "setting 'model' is ignored: Expected `str`, got `int`"),
        ("threads", -1, "`int` >= 0"),
        ("threads", "4", "Expected `int`, got `str`"),
        ("maxNewTokens", 0, "`int` >= 1"),
        ("maxNewTokens", 10**6, "`int` <= 2048"),
        ("device", "gpu", "Invalid enum value 'gpu'"),
        ("enabled", None, "Expected `bool`, got `null`"),
        ("disabledLanguages", "python", "Expected `array`, got `str`"),
    ],
)
def test_a_bad_value_is_named_and_the_good_ones_stand(key: str, value: object, said: str) -> None:
    """One mistake costs that value only, and the complaint says what is expected."""
    options = parse_options({key: value, "logLevel": "debug"})
    assert options.values == {"log_level": "debug"}
    assert len(options.complaints) == 1
    assert said in options.complaints[0]
    assert "\n" not in options.complaints[0]


def test_the_strongest_layer_wins_value_by_value() -> None:
    """Later layers replace single values, and complaints name their layer."""
    resolved = resolve(
        [
            Layer("user", {"model": "a", "threads": 2, "bogus": 1}),
            Layer("editor", {"model": "b", "enabled": False}),
        ]
    )
    assert resolved.settings == Settings(model="b", threads=2, enabled=False)
    assert resolved.complaints == ("user: unknown setting 'bogus' is ignored",)


@pytest.mark.parametrize(
    ("content", "model", "complaint"),
    [
        (None, "bundled", None),
        (b'model = "mine"\n', "mine", None),
        (b"model = mine\n", "bundled", "is not TOML"),
        (b"\xff\xfe\x00", "bundled", "is not TOML"),
    ],
)
def test_settings_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    model: str,
    complaint: str | None,
) -> None:
    """User and workspace files are read if they are there; a broken one is a complaint."""
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path))
    if content is not None:
        (tmp_path / "settings.toml").write_bytes(content)
        (tmp_path / ".codegen-lsp.toml").write_bytes(content)
    for layer in (user_layer(), workspace_layer(tmp_path)):
        resolved = resolve([layer])
        assert resolved.settings.model == model
        assert bool(resolved.complaints) == (complaint is not None)
        if complaint is not None:
            assert complaint in resolved.complaints[0]


def test_an_unreadable_settings_file_is_a_complaint(tmp_path: Path) -> None:
    """A folder where the file should be does not stop anything."""
    (tmp_path / ".codegen-lsp.toml").mkdir()
    layer = workspace_layer(tmp_path)
    assert resolve([layer]).settings == Settings()
    assert "cannot be read" in layer.complaints[0]


def test_environment_variables_stand_for_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """``CODEGEN_LSP_MODEL`` and its kin are a layer of their own."""
    monkeypatch.setenv("CODEGEN_LSP_MODEL", "some-model")
    monkeypatch.setenv("CODEGEN_LSP_DEVICE", "")
    assert environment_layer().values == {"model": "some-model"}
