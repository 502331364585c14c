"""Sessions: `nox -l` lists them. Each sets itself up; arguments after -- go to the program that it runs."""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests", "conformance"]

TORCH = "torch==2.13.0"
GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]


def install(session: nox.Session, *groups: str) -> None:
    """torch first and pinned, so that no other package brings its own; then this package and what the session needs."""
    if session.venv_backend == "none":
        return
    session.log("installing; the first time takes a minute or two")
    session.install("-q", TORCH)
    session.install("-q", "-e", ".", *(requirement for group in groups for requirement in GROUPS[group]))


@nox.session
def conformance(session: nox.Session) -> None:
    """Hold reference and optimized (or --impl) against conformance.md, on photos and generated workloads."""
    install(session, "photos")
    session.run("python", "-m", "plumbline.conformance", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests."""
    install(session, "photos", "test")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and mypy."""
    install(session, "photos", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Run the suite against every mutant; fails if one survives."""
    install(session)
    session.run("python", "-m", "plumbline.mutants", *session.posargs)


@nox.session(default=False)
def fixtures(session: nox.Session) -> None:
    """Write the golden vectors again; with --check, only compare."""
    install(session)
    if "--check" not in session.posargs:
        session.run("python", "-m", "plumbline.golden")
    session.run("python", "-m", "pytest", "-q", "tests/identity/test_golden.py")
