"""The command line's own words; what `tollgate up` does is in e2e."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from tollgate import __version__
from tollgate.commands.main import app
from tollgate.settings import EXAMPLE_FILE


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_version_is_printed() -> None:
    """Nothing else is."""
    assert run("--version") == (0, f"{__version__}\n", "")


def test_check_says_what_the_file_means() -> None:
    """Model, provider, address, where the key is, and the price with its source; no secret."""
    code, said, _ = run("check", str(EXAMPLE_FILE))
    wanted = (
        "openai/gpt-4o-mini http://mock-llm/v1 key in the file $0.15 in, $0.6 out per million"
        " tokens (openai/gpt-4o-mini, genai-prices"
    )
    assert (code, wanted in " ".join(said.split()), "mock-provider-key" in said) == (0, True, False)


def test_check_tells_prices_in_their_units_and_what_has_none(tmp_path: Path) -> None:
    """Sound by the minute, speech by the character, documents by the page, drawings by the picture;
    parts that would be charged as text.
    """
    models = (
        "whisper-1",
        "tts-1",
        "gpt-4o",
        "ft:gpt-5:org::id",
        "mistral/mistral-ocr-latest",
        "dall-e-2",
        "nobodys",
    )
    entries = [{"model_name": name, "litellm_params": {"model": name}} for name in models]
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump({"model_list": entries}))
    _, said, _ = run("check", str(file))
    lines = [" ".join(line.split()) for line in said.splitlines()]
    for wanted in (
        "$0.006 a minute of sound",
        "$15 per million characters",
        "$0.004 a page",
        "$0.016 a picture (256x256), $0.018 a picture (512x512), $0.02 a picture (1024x1024)",
        "charged too roughly: fine_tuned",
        "no price: refuse",
    ):
        assert any(wanted in line for line in lines), wanted
    assert "gpt-4o input_audio, output_audio, output_image, output_video" in lines
    assert not any(line.startswith("dall-e-2 input_audio") for line in lines)


def test_check_compares_prices_with_a_file(tmp_path: Path) -> None:
    """What differs by over 5 %, and models that one side alone knows; a file that cannot be read is
    a fault.
    """
    models = ("gpt-4o", "gpt-4o-mini", "nobodys", "gpt-4.1")
    entries = [{"model_name": name, "litellm_params": {"model": name}} for name in models]
    file, prices = tmp_path / "file.yaml", tmp_path / "prices.json"
    file.write_text(yaml.safe_dump({"model_list": entries}))
    near = {
        "input_cost_per_token": 2.6e-06,
        "output_cost_per_token": 1.2e-05,
        "output_cost_per_audio_token": 1e-05,
    }
    listed = {
        "gpt-4o": near,
        "nobodys": {"input_cost_per_token": 1e-06},
        "gpt-4o-mini": {"input_cost_per_token": 1.5e-07},
    }
    prices.write_text(json.dumps(listed))
    code, said, _ = run("check", str(file), "--prices", str(prices))
    lines = [" ".join(line.split()) for line in said.splitlines()]
    at = next(
        number
        for number, line in enumerate(lines)
        if line.startswith("prices that differ by more than 5 %")
    )
    assert (code, lines[at + 1 :]) == (
        0,
        [
            "gpt-4o output 0.00001 there 0.000012",
            "gpt-4o output_audio none there 0.00001",
            "nobodys input none there 0.000001",
            "gpt-4.1 input 0.000002 there none",
        ],
    )
    listed = {"gpt-4o": {"input_cost_per_token": 2.5e-06}}
    file.write_text(yaml.safe_dump({"model_list": entries[:1]}))
    prices.write_text(json.dumps(listed))
    assert "no price differs" in run("check", str(file), "--prices", str(prices))[1]
    prices.unlink()
    code, _, complaint = run("check", str(file), "--prices", str(prices))
    assert (code, "cannot read the price file" in complaint) == (1, True)


def test_check_says_what_native_mode_leaves_to_ext_proc(tmp_path: Path) -> None:
    """A line for each API that the file's models can be called with, and none for others."""
    models = [
        {"model_name": "a", "litellm_params": {"model": "openai/a"}},
        {
            "model_name": "b",
            "litellm_params": {"model": "ollama/b", "api_base": "http://127.0.0.1:11434"},
        },
    ]
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump({"model_list": models}))
    _, said, _ = run("check", str(file))
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert (
        "openai.chat read by Envoy; by ext_proc: replies to requests that mention web_search or"
        ' "plugins", which may count in lists' in lines
    )
    assert "openai.images read by ext_proc: all replies, which are long" in lines
    assert (
        "openai.responses read by Envoy; by ext_proc: replies to requests that mention web_search"
        " or pmpt_ or file_search or code_interpreter or image_generation, which may count in lists"
        in lines
    )
    assert "ollama read by Envoy; by ext_proc: streams, which come as lines of JSON" in lines
    assert not [
        line
        for line in lines
        if line.startswith(("anthropic.", "gemini.", "bedrock.", "openai.moderation"))
    ]


def test_check_names_each_fault_on_its_line(tmp_path: Path) -> None:
    """Exit code 1, nothing on stdout."""
    file = tmp_path / "file.yaml"
    file.write_text("tollgate: {colour: red, port: 70000}")
    code, said, complaint = run("check", str(file))
    assert (code, said, [line.split(":")[2].strip() for line in complaint.splitlines()]) == (
        1,
        "",
        ["tollgate.port", "tollgate.colour"],
    )


def test_the_example_beside_an_envoy_can_be_checked_as_it_is() -> None:
    """Its master key comes from the environment; where it is not there, a line says what that
    means.
    """
    file = Path(__file__).parents[3] / "envoy" / "settings.yaml"
    code, said, complaint = run("check", str(file))
    told = (
        "notice: general_settings.master_key: os.environ/TOLLGATE_MASTER_KEY is not set, so nobody"
        " can administer keys"
    )
    assert (code, complaint, told in said) == (0, "", True)


def test_envoy_config_prints_yaml() -> None:
    code, said, _ = run("envoy-config", "--what", "connection-manager")
    assert (code, yaml.safe_load(said)["stat_prefix"]) == (0, "tollgate")


def test_the_parts_are_those_of_the_whole() -> None:
    """Whoever puts them into a file of their own gets what the printed file has."""
    whole = yaml.safe_load(run("envoy-config")[1])
    static = whole["static_resources"]
    (listener,) = static["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    wanted = {
        "listener": listener,
        "connection-manager": manager,
        "filters": manager["http_filters"][:-1],
        "virtual-host": manager["route_config"]["virtual_hosts"][0],
        "clusters": static["clusters"],
        "secrets": static["secrets"],
        "access-log": manager["access_log"],
        "local-replies": manager["local_reply_config"],
        "early-mutations": manager["early_header_mutation_extensions"],
        "bounds": {name: whole[name] for name in ("layered_runtime", "overload_manager")},
    }
    assert {
        name: yaml.safe_load(run("envoy-config", "--what", name)[1]) for name in wanted
    } == wanted


def test_the_mode_chooses_how_envoy_asks() -> None:
    """Over HTTP in native mode, over gRPC in the other."""
    said = {
        mode: run("envoy-config", "--mode", mode, "--what", "filters")[1]
        for mode in ("grpc", "native")
    }
    asked = {
        mode: next(
            each for each in yaml.safe_load(text) if each["name"] == "envoy.filters.http.ext_authz"
        )["typed_config"]
        for mode, text in said.items()
    }
    assert {
        mode: [key for key in config if key.endswith("_service")] for mode, config in asked.items()
    } == {
        "grpc": ["grpc_service"],
        "native": ["http_service"],
    }
