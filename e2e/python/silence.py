"""Asks through OpenAI's SDK for streams of which nothing comes for seconds, and leaves one half-way.

Argument: JSON with base_url, host and key. The models: `slow` answers late, `silent` never, `words` in
many words.
"""

import json
import sys

import openai

asked = json.loads(sys.argv[1])
client = openai.OpenAI(
    base_url=asked["base_url"],
    api_key=asked["key"],
    max_retries=0,
    default_headers={"Host": asked["host"]},
)


def messages(text):
    return [{"role": "user", "content": text}]


# The comments are there, and the SDK passes over them.
late = {"model": "slow", "stream": True, "messages": messages("/slow 2s one two")}
with client.chat.completions.with_streaming_response.create(**late) as response:
    lines = list(response.iter_lines())
assert lines[0] == ":", lines
assert lines[-2:] == ["data: [DONE]", ""], lines
text = "".join(
    chunk.choices[0].delta.content or ""
    for chunk in client.chat.completions.create(**late)
    if chunk.choices
)
assert text == "one two", text

# An error that comes too late for a status is raised all the same.
try:
    stream = client.chat.completions.create(
        model="silent", stream=True, messages=messages("hello")
    )
    raise SystemExit(f"no error: {list(stream)}")
except openai.APIError as error:
    assert error.code == "provider_timeout", repr(error)

stream = client.chat.completions.create(model="words", stream=True, messages=messages("hello"))
next(iter(stream))
stream.close()
