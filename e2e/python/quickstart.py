"""The quickstart as its README shows it, with the SDK's own defaults.

Argument: JSON with base_url, key and model. Ends with "all good".
"""

import json
import sys

import openai

CONFIG = json.loads(sys.argv[1])
CLIENT = openai.OpenAI(base_url=CONFIG["base_url"], api_key=CONFIG["key"])
USER = [{"role": "user", "content": "one two three"}]

answer = CLIENT.chat.completions.create(model=CONFIG["model"], messages=USER)
assert "one two three" in answer.choices[0].message.content, answer

stream = CLIENT.chat.completions.create(model=CONFIG["model"], messages=USER, stream=True)
text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
assert "one two three" in text, text

print("all good")
