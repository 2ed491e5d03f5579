"""Which files an import means, in every language that has imports we can read."""

from __future__ import annotations

import pytest

from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.index import Index

PYTHON = (
    "src/shop/__init__.py",
    "src/shop/basket.py",
    "src/shop/types.py",
    "src/shop/store/__init__.py",
    "src/shop/store/rows.py",
    "src/shop/store/rows.pyi",
    "src/shop/json.py",
    "tests/__init__.py",
    "tests/helpers.py",
    "tools/build.py",
    "tools/common.py",
    "tools/json.py",
    "examples/requests.py",
    "libs/money/money/__init__.py",
    "libs/money/money/rates.py",
    "libs/mail/email/__init__.py",
    "conf.py",
    "stubs/only.pyi",
)
SCRIPT = (
    "package.json",
    "src/index.ts",
    "src/app.tsx",
    "src/util/index.ts",
    "src/util/text.ts",
    "src/util/old.js",
    "src/util/styles.css",
    "src/components/Button/index.tsx",
    "src/types.d.ts",
    "web/main.mjs",
    "web/src/app.tsx",
)
JAVA = (
    "core/src/main/java/org/shop/Basket.java",
    "core/src/main/java/org/shop/money/Rate.java",
    "core/src/main/java/org/shop/money/Rates.java",
    "app/src/main/java/org/shop/app/Main.java",
    "app/src/main/kotlin/org/shop/app/View.kt",
    "app/src/main/java/org/shop/Basket.java",
)
GO = (
    "main.go",
    "internal/store/store.go",
    "internal/store/rows.go",
    "internal/store/rows_test.go",
    "pkg/fmt/fmt.go",
    "services/api/internal/store/api.go",
    "services/api/cmd/main.go",
)
C = (
    "src/main.c",
    "src/log.h",
    "src/net/socket.c",
    "src/net/socket.h",
    "include/shop/socket.h",
    "include/shop/log.h",
    "include/shop/string.h",
    "lib/vec.hpp",
)
RUST = (
    "src/main.rs",
    "src/lib.rs",
    "src/shapes.rs",
    "src/shapes/circle.rs",
    "src/store/mod.rs",
    "src/store/rows.rs",
    "crates/my-money/src/lib.rs",
    "crates/my-money/src/rates.rs",
    "crates/my-money/src/rates/table.rs",
)

CASES = [
    # Python: absolute names are below a folder that is no package itself.
    ("python", PYTHON, "tests/helpers.py", "shop", "src/shop/__init__.py"),
    ("python", PYTHON, "tests/helpers.py", "shop.basket", "src/shop/basket.py"),
    ("python", PYTHON, "tests/helpers.py", "shop.store", "src/shop/store/__init__.py"),
    ("python", PYTHON, "tests/helpers.py", "shop.store.rows", "src/shop/store/rows.py"),
    ("python", PYTHON, "tests/helpers.py", "money.rates", "libs/money/money/rates.py"),
    ("python", PYTHON, "src/shop/basket.py", "shop.store.Missing", None),
    ("python", PYTHON, "src/shop/basket.py", "basket", None),
    ("python", PYTHON, "src/shop/basket.py", "types", None),
    ("python", PYTHON, "src/shop/basket.py", "json", None),
    ("python", PYTHON, "tools/build.py", "common", "tools/common.py"),
    ("python", PYTHON, "tools/build.py", "json", "tools/json.py"),
    ("python", PYTHON, "tools/build.py", "requests", None),
    ("python", PYTHON, "tools/build.py", "email", None),
    ("python", PYTHON, "libs/mail/run.py", "email", "libs/mail/email/__init__.py"),
    ("python", PYTHON, "tools/build.py", "conf", "conf.py"),
    ("python", PYTHON, "tools/build.py", "numpy.linalg", None),
    ("python", PYTHON, "examples/requests.py", "requests", None),
    ("python", PYTHON, "", "shop.basket", "src/shop/basket.py"),
    # Python: relative names.
    ("python", PYTHON, "src/shop/basket.py", ".types", "src/shop/types.py"),
    ("python", PYTHON, "src/shop/basket.py", ".", "src/shop/__init__.py"),
    ("python", PYTHON, "src/shop/basket.py", ".store", "src/shop/store/__init__.py"),
    ("python", PYTHON, "src/shop/store/rows.py", "..basket", "src/shop/basket.py"),
    ("python", PYTHON, "src/shop/store/rows.py", ".", "src/shop/store/__init__.py"),
    ("python", PYTHON, "src/shop/store/rows.py", "..", "src/shop/__init__.py"),
    ("python", PYTHON, "src/shop/store/rows.py", "..store.rows.Row", None),
    ("python", PYTHON, "src/shop/store/__init__.py", ".rows", "src/shop/store/rows.py"),
    ("python", PYTHON, "conf.py", "...far", None),
    ("python", PYTHON, "stubs/x.py", ".only", "stubs/only.pyi"),
    # JavaScript and TypeScript.
    ("typescript", SCRIPT, "src/index.ts", "./app", "src/app.tsx"),
    ("typescript", SCRIPT, "src/index.ts", "./util", "src/util/index.ts"),
    ("typescript", SCRIPT, "src/index.ts", "./util/", "src/util/index.ts"),
    ("typescript", SCRIPT, "src/index.ts", "./util/text.js", "src/util/text.ts"),
    ("typescript", SCRIPT, "src/index.ts", "./util/old.js", "src/util/old.js"),
    ("typescript", SCRIPT, "src/index.ts", "./util/styles.css", "src/util/styles.css"),
    ("typescript", SCRIPT, "src/index.ts", "./types", "src/types.d.ts"),
    ("typescriptreact", SCRIPT, "src/components/Button/index.tsx", "../../app", "src/app.tsx"),
    ("typescriptreact", SCRIPT, "src/components/Button/index.tsx", "..", None),
    ("typescriptreact", SCRIPT, "src/util/text.ts", "..", "src/index.ts"),
    ("javascript", SCRIPT, "web/main.mjs", "../src/util/old", "src/util/old.js"),
    ("javascript", SCRIPT, "web/main.mjs", "../../outside", None),
    ("typescript", SCRIPT, "src/app.tsx", "@/util/text", "src/util/text.ts"),
    ("typescript", SCRIPT, "src/util/text.ts", "@/app", "src/app.tsx"),
    ("typescript", SCRIPT, "web/src/x.ts", "@/app", "web/src/app.tsx"),
    ("typescript", SCRIPT, "src/app.tsx", "src/util/text", "src/util/text.ts"),
    ("typescript", SCRIPT, "src/app.tsx", "components/Button", "src/components/Button/index.tsx"),
    ("typescript", SCRIPT, "src/app.tsx", "react", None),
    ("typescript", SCRIPT, "src/app.tsx", "app", None),
    # Java and its neighbours.
    (
        "java",
        JAVA,
        "core/src/main/java/org/shop/money/Rates.java",
        "org.shop.Basket",
        "core/src/main/java/org/shop/Basket.java",
    ),
    (
        "java",
        JAVA,
        "app/src/main/java/org/shop/app/Main.java",
        "org.shop.Basket",
        "app/src/main/java/org/shop/Basket.java",
    ),
    ("java", JAVA, "x/Y.java", "org.shop.money.Rate.Kind", JAVA[1]),
    ("java", JAVA, "x/Y.java", "org.shop.app.View", JAVA[4]),
    ("kotlin", JAVA, "x/Y.kt", "org.shop.money.Rate", JAVA[1]),
    ("java", JAVA, "x/Y.java", "org.shop.money.*", JAVA[1]),
    ("java", JAVA, "x/Y.java", "java.util.List", None),
    ("java", JAVA, "x/Y.java", "org.other.Basket", None),
    # Go: a package is a folder.
    ("go", GO, "main.go", "example.org/shop/internal/store", "internal/store/store.go"),
    (
        "go",
        GO,
        "services/api/cmd/main.go",
        "example.org/api/internal/store",
        "services/api/internal/store/api.go",
    ),
    ("go", GO, "main.go", "fmt", None),
    ("go", GO, "main.go", "net/http", None),
    ("go", GO, "main.go", "example.org/other", None),
    # C and C++.
    ("c", C, "src/main.c", "log.h", "src/log.h"),
    ("c", C, "src/net/socket.c", "socket.h", "src/net/socket.h"),
    ("c", C, "src/net/socket.c", "../log.h", "src/log.h"),
    ("c", C, "src/main.c", "shop/log.h", "include/shop/log.h"),
    ("c", C, "src/main.c", "string.h", None),
    ("c", C, "src/main.c", "stdio.h", None),
    ("c", C, "src/main.c", "../../up.h", None),
    ("cpp", C, "src/main.cpp", "vec.hpp", "lib/vec.hpp"),
    ("cpp", C, "src/main.cpp", "vector", None),
    # Rust: items are looked for in the file they are in.
    ("rust", RUST, "src/main.rs", "crate::shapes", "src/shapes.rs"),
    ("rust", RUST, "src/main.rs", "crate::shapes::circle", "src/shapes/circle.rs"),
    ("rust", RUST, "src/main.rs", "crate::shapes::Shape::new", "src/shapes.rs"),
    ("rust", RUST, "src/main.rs", "crate::shapes::Shape::Kind::new", None),
    ("rust", RUST, "src/shapes/circle.rs", "crate::store", "src/store/mod.rs"),
    ("rust", RUST, "src/shapes/circle.rs", "crate::store::rows::Row", "src/store/rows.rs"),
    ("rust", RUST, "src/shapes/circle.rs", "super::Shape", "src/shapes.rs"),
    ("rust", RUST, "src/shapes/circle.rs", "super::super::store", "src/store/mod.rs"),
    ("rust", RUST, "src/shapes.rs", "self::circle::Circle", "src/shapes/circle.rs"),
    ("rust", RUST, "src/store/mod.rs", "self::rows", "src/store/rows.rs"),
    ("rust", RUST, "src/store/rows.rs", "super", "src/store/mod.rs"),
    ("rust", RUST, "src/main.rs", "my_money::rates::table", RUST[8]),
    ("rust", RUST, "src/main.rs", "my_money::Money", RUST[6]),
    ("rust", RUST, RUST[7], "crate::rates::table::Row", RUST[8]),
    ("rust", RUST, "src/main.rs", "serde::Deserialize", None),
    ("rust", RUST, "src/main.rs", "std::collections::HashMap", None),
    # Nothing is known of how others import.
    ("ruby", ("lib/rows.rb",), "lib/x.rb", "rows", None),
    ("", PYTHON, "x", "shop", None),
    ("python", PYTHON, "x.py", "", None),
]


def index_of(paths: tuple[str, ...]) -> Index:
    index = Index()
    for path in paths:
        index.add(FileFacts(path, "python", 0, 0, b""))
    return index


@pytest.mark.parametrize(
    ("language", "paths", "importer", "name", "expected"),
    CASES,
    ids=[f"{case[0]}-{case[3]}-from-{case[2]}" for case in CASES],
)
def test_a_module_is_found_by_where_files_are(
    language: str, paths: tuple[str, ...], importer: str, name: str, expected: str | None
) -> None:
    """Standard libraries and packages from elsewhere are not mistaken for files of ours."""
    assert index_of(paths).resolve(name, importer, language) == expected


def test_a_package_of_several_files_is_all_of_them() -> None:
    """Its own file first, no tests."""
    name = "example.org/shop/internal/store"
    found = index_of(GO).resolve_all(name, "main.go", "go")
    assert found == ("internal/store/store.go", "internal/store/rows.go")
    found = index_of(JAVA).resolve_all("org.shop.money", "x/Y.java", "java")
    assert found == (JAVA[1], JAVA[2])


def test_files_that_are_gone_are_found_no_more() -> None:
    """And what is left is found instead."""
    index = index_of(PYTHON)
    index.remove("src/shop/store/rows.py")
    assert index.resolve("shop.store.rows", "x.py", "python") == "src/shop/store/rows.pyi"
    index.remove("src/shop/store/rows.pyi")
    assert index.resolve("shop.store.rows", "x.py", "python") is None
    index = index_of(GO)
    for path in GO[1:4]:
        index.remove(path)
    found = index.resolve("example.org/shop/internal/store", "main.go", "go")
    assert found == "services/api/internal/store/api.go"


@pytest.mark.parametrize("language", ["python", "typescript", "java", "go", "c", "rust", "kotlin"])
@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "....", "/", "//", "a..b", "::", "crate", "super::super::super::super", "*",
     "self", "a" * 600, "../" * 50, "\0", "a/./b", "~/", "@/", ".*", "é"],
)  # fmt: skip
def test_any_module_name_has_an_answer(language: str, name: str) -> None:
    """Half-written imports are asked for with every key that is typed."""
    for paths in (PYTHON, SCRIPT, JAVA, GO, C, RUST, ()):
        for importer in ("", "a.py", "src/shapes/circle.rs", "src/shop/store/rows.py"):
            found = index_of(paths).resolve_all(name, importer, language)
            assert set(found) <= set(paths) - {importer}
