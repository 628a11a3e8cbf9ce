"""Asks one question through OpenAI's SDK, streamed, and prints the answer.

Argument: JSON with base_url, host, key, model and text.
"""

import json
import sys

from openai import OpenAI

asked = json.loads(sys.argv[1])
client = OpenAI(
    base_url=asked["base_url"],
    api_key=asked["key"],
    max_retries=0,
    default_headers={"Host": asked["host"]},
)
stream = client.chat.completions.create(
    model=asked["model"], stream=True, messages=[{"role": "user", "content": asked["text"]}]
)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
