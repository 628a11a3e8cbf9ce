"""The main job as an application sees it: an OpenAI SDK, pointed at a domain of the gateway.

Argument: JSON with base_urls (of two data planes), host, unknown_host, keys, limit and
limit_message. Prints what it has seen; ends with "all good".
"""

import json
import sys

import openai

CONFIG = json.loads(sys.argv[1])
KEYS = CONFIG["keys"]
USER = [{"role": "user", "content": "Say pineapple, please"}]


def client(number=0, key="good", host=None):
    """An SDK that calls one of the two data planes, by address, for the tenant's host."""
    return openai.OpenAI(
        base_url=CONFIG["base_urls"][number % 2],
        api_key=KEYS[key],
        default_headers={"Host": host or CONFIG["host"]},
        max_retries=0,
        timeout=30,
    )


def saw(what):
    print("saw", what, flush=True)


def plain_answers():
    for number in (0, 1):
        answer = client(number).chat.completions.create(model="echo", messages=USER)
        message = answer.choices[0].message
        assert message.role == "assistant", message
        assert "pineapple" in message.content, message
        assert answer.choices[0].finish_reason == "stop", answer
        assert answer.usage.total_tokens > 0, answer
        assert answer.usage.total_tokens == (
            answer.usage.prompt_tokens + answer.usage.completion_tokens
        ), answer
    for model in ("gpt-test", "claude-test"):
        answer = client().chat.completions.create(model=model, messages=USER)
        assert answer.choices[0].message.content == "word0 word1 word2", answer
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 3), answer
    saw("plain answers")


def streamed_answers():
    for model in ("echo", "gpt-test", "claude-test"):
        stream = client(1).chat.completions.create(
            model=model,
            messages=USER,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        wanted = "pineapple" if model == "echo" else "word0 word1 word2"
        assert wanted in text, (model, text)
        assert len([c for c in chunks if c.choices]) > 2, (model, chunks)
        finished = [c.choices[0].finish_reason for c in chunks if c.choices]
        assert [f for f in finished if f] == ["stop"], (model, finished)
        usages = [c.usage for c in chunks if c.usage]
        assert len(usages) == 1 and usages[0].total_tokens > 0, (model, usages)
        if model != "echo":
            assert usages[0].total_tokens == 14, (model, usages)
    saw("streamed answers")


def streams_without_usage_have_none():
    for model in ("echo", "gpt-test", "claude-test"):
        stream = client().chat.completions.create(model=model, messages=USER, stream=True)
        for chunk in stream:
            assert chunk.usage is None, (model, chunk)
            assert chunk.choices, (model, chunk)
    saw("streams without usage")


def embedding():
    answer = client().embeddings.create(model="echo", input="pineapple")
    vector = answer.data[0].embedding
    assert len(vector) > 1 and all(isinstance(x, float) for x in vector), vector
    assert answer.usage.prompt_tokens > 0, answer
    again = client(1).embeddings.create(model="echo", input="pineapple")
    assert again.data[0].embedding == vector, (again, vector)
    saw("embedding")


def models():
    listed = {model.id for model in client().models.list()}
    assert {"echo", "gpt-test", "claude-test"} <= listed, listed
    saw("models")


def refused(exception, status, code, call):
    """The exception of the SDK, with OpenAI's error shape in its body."""
    try:
        answer = call()
    except exception as error:
        assert error.status_code == status, error
        assert error.code == code, (error.code, error.body)
        assert error.type, error.body
        assert error.body["message"], error.body
        assert "param" in error.body, error.body
        return error
    raise AssertionError(f"no {exception.__name__} but {answer}")


def chat(sdk, model="echo"):
    return lambda: sdk.chat.completions.create(model=model, messages=USER)


def refusals():
    wrong = refused(
        openai.AuthenticationError, 401, "invalid_api_key", chat(client(key="wrong"))
    )
    assert KEYS["wrong"] not in str(wrong), wrong
    refused(
        openai.PermissionDeniedError, 403, "consumer_not_allowed", chat(client(key="forbidden"))
    )
    refused(openai.NotFoundError, 404, "model_not_found", chat(client(), "no-such-model"))
    refused(
        openai.NotFoundError,
        404,
        "unknown_host",
        chat(client(host=CONFIG["unknown_host"])),
    )
    saw("401, 403, 404")


def limit_is_shared_by_the_data_planes():
    for number in range(CONFIG["limit"]):
        chat(client(number, "limited"))()
    for number in (0, 1):
        over = refused(
            openai.RateLimitError, 429, "token_quota_exceeded", chat(client(number, "limited"))
        )
        assert CONFIG["limit_message"] in over.body["message"], over.body
        assert int(over.response.headers["retry-after"]) >= 1, over.response.headers
    chat(client())()
    saw("429")


plain_answers()
streamed_answers()
streams_without_usage_have_none()
embedding()
models()
refusals()
limit_is_shared_by_the_data_planes()
print("all good")
