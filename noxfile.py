"""Sessions: `nox -l` lists them. Each sets itself up; arguments after -- go to the program that it runs."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests", "conformance"]

TORCH = os.environ.get("PLUMBLINE_TORCH") or "torch==2.13.0"
SGLANG = ["0.5.12.post1", "0.5.23"]
VLLM = "0.33.0"
GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]


def install(session: nox.Session, *groups: str) -> None:
    """torch first and pinned, so that no other package brings its own; then this package and what the session needs."""
    if session.venv_backend == "none":
        return
    session.log("installing; the first time takes a minute or two")
    session.install("-q", TORCH)
    session.install("-q", "-e", ".", *(requirement for group in groups for requirement in GROUPS[group]))


def judged(session: nox.Session, module: str, env: dict[str, str] | None = None) -> None:
    """Runs a module about an implementation, whose exit status 2 says that there is no verdict: nox itself ends with 1 for
    whatever fails.

    What an implementation imports besides is installed from the file of requirements that PLUMBLINE_REQUIREMENTS names.
    """
    if (needed := os.environ.get("PLUMBLINE_REQUIREMENTS")) and session.venv_backend != "none":
        session.install("-q", "-r", needed)
    try:
        session.run("python", "-m", module, *session.posargs, env=env)
    except CommandFailed as failed:
        if str(failed) == "Returned code 2":
            sys.exit(2)
        raise


def fetch_sglang(session: nox.Session, version: str) -> str:
    """The folder of a published SGLang, fetched once for all sessions: the package alone, without its dependencies.

    Nothing compiled in it is used, so that any machine and any Python can take the one wheel there is for x86.
    """
    folder = (session.cache_dir / f"sglang-{version}").resolve()
    if not (folder / f"sglang-{version}.dist-info").is_dir():
        session.log(f"fetching sglang {version}")
        wheel = ["--platform", "manylinux_2_34_x86_64", "--implementation", "cp", "--python-version", "3.11"]
        alone = ["--only-binary", ":all:", "--no-deps", "--upgrade", "--target", str(folder)]
        session.run("python", "-m", "pip", "install", "-q", *wheel, *alone, f"sglang=={version}")
    return str(folder)


def fetch_vllm(session: nox.Session, version: str) -> str:
    """The folder of a published vLLM's Python source, fetched once: from the source archive, a seventh of the wheel."""
    folder = (session.cache_dir / f"vllm-{version}").resolve()
    if not folder.is_dir():
        session.log(f"fetching vllm {version}")
        with tempfile.TemporaryDirectory() as place:
            session.run("unearth", "--no-binary", f"vllm=={version}", "--download", place, silent=True)
            with tarfile.open(next(Path(place).glob("*.tar.gz"))) as archive:
                sources = [m for m in archive.getmembers() if "/vllm/" in m.name and m.name.endswith(".py")]
                archive.extractall(place, sources, filter="data")
            shutil.move(next(Path(place).glob("vllm-*/")), folder)
    return str(folder)


@nox.session
def conformance(session: nox.Session) -> None:
    """Hold reference and optimized (or --impl) against conformance.md, on photos and generated workloads."""
    install(session, "photos")
    judged(session, "plumbline.conformance")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests."""
    install(session, "photos", "test", "sglang", "vllm")
    releases = {f"PLUMBLINE_SGLANG_{v.upper().replace('.', '_')}": fetch_sglang(session, v) for v in SGLANG}
    releases["PLUMBLINE_VLLM"] = fetch_vllm(session, VLLM)
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs, env=releases)


@nox.session(default=False)
def dashboard(session: nox.Session) -> None:
    """Write report/dashboard.html: speed over time, conformance and kill matrix, of the files that there are."""
    install(session)
    session.run("python", "-m", "plumbline.dashboard", *session.posargs)


@nox.session(default=False)
def replay(session: nox.Session) -> None:
    """Replay a captured TRACE of live traffic, of plumbline/capture.py, through --impl."""
    install(session)
    session.run("python", "-m", "plumbline.capture_replay", *session.posargs)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Tests of real GPUs, on up to four; fails without one. With --no-venv, under this Python and its torch."""
    install(session, "gpu")
    session.run("python", "-m", "pytest", "tests/gpu", *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and mypy."""
    install(session, "photos", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(default=False)
def sglang(session: nox.Session) -> None:
    """Hold SGLang against conformance.md: each release, or --version V, or a developer's --checkout PATH."""
    install(session, "photos", "sglang")
    hold(session, "sglang", SGLANG, fetch_sglang, "python")


@nox.session(default=False)
def vllm(session: nox.Session) -> None:
    """Hold what of vLLM runs without its compiled parts against conformance.md: --version V, or --checkout PATH."""
    install(session, "photos", "vllm")
    hold(session, "vllm", [VLLM], fetch_vllm, ".")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time every part of optimized (or --impl) against the reference, in turns; --quick, --compare BASE, --keep."""
    install(session, "photos", "bench")
    quick = "--quick" in session.posargs  # which leaves SGLang out
    judged(session, "plumbline.speed", env={} if quick else {"PLUMBLINE_SGLANG": fetch_sglang(session, SGLANG[-1])})


@nox.session(default=False)
def side_by_side(session: nox.Session) -> None:
    """Host time of optimized and of SGLang's newest release, interleaved; and transport, beside the usual ways."""
    install(session, "sglang")
    folder = {"PLUMBLINE_SGLANG": fetch_sglang(session, SGLANG[-1])}
    session.run("python", "-m", "benchmarks.sglang", "--out", "report/side-by-side.json", env=folder)
    session.run("python", "-m", "benchmarks.transport", "--out", "report/transport.json", env=folder)


def hold(
    session: nox.Session, engine: str, versions: list[str], fetch: Callable[[nox.Session, str], str], sources: str
) -> None:
    """Runs the conformance job for each version, with the deviations that are declared for it. Other arguments pass on."""
    parser = argparse.ArgumentParser(prog=f"nox -s {engine} --", add_help=False, allow_abbrev=False)
    parser.add_argument("--version")
    parser.add_argument("--checkout", type=Path)
    options, rest = parser.parse_known_args(session.posargs)
    if options.checkout:
        folders = {"checkout": str(options.checkout.resolve() / sources)}
    else:
        folders = {v: fetch(session, v) for v in ([options.version] if options.version else versions)}
    failed = []
    for name, folder in folders.items():
        arguments = ["--impl", f"adapters/{engine}.py:implementation", "--report", f"report/{engine}-{name}"]
        known = Path("adapters", "scorecards", f"{engine}-{name}", "deviations.toml")
        if known.is_file() and not {"--replay", "--deviations"} & set(rest):
            arguments += ["--deviations", str(known)]
        try:
            found = {f"PLUMBLINE_{engine.upper()}": folder}
            session.run("python", "-m", "plumbline.conformance", *arguments, *rest, env=found)
        except CommandFailed:
            failed.append(name)
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Run the suite against every mutant; fails if one survives."""
    install(session, "photos")
    session.run("python", "-m", "plumbline.mutants", *session.posargs)


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Mutation score of optimized and reference by Cosmic Ray: --sample N mutants, --seed N, --only FILE."""
    install(session, "mutation")
    session.run("python", "-m", "plumbline.mutation", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz the messages of both implementations, guided by coverage: --runs N executions of each, --keep what it found."""
    install(session, "fuzz")
    session.run("python", "tests/fuzz/fuzz_messages.py", *session.posargs)


@nox.session(default=False)
def fixtures(session: nox.Session) -> None:
    """Write the golden vectors again; with --check, only compare."""
    install(session)
    if "--check" not in session.posargs:
        session.run("python", "-m", "plumbline.golden")
    session.run("python", "-m", "pytest", "-q", "tests/identity/test_golden.py")
