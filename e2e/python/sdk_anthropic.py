"""Anthropic's SDK against every provider."""

import anthropic
from sdk_common import CACHED, CITIES, CITY, INPUT, NOTHING, OUTPUT, TEXT, asked, each, same

told = asked()
client = anthropic.Anthropic(base_url=told["base"], api_key=told["key"], max_retries=0)
TOOLS = [
    {"name": "get_weather", "description": "Weather", "input_schema": CITY},
    {"name": "get_time", "input_schema": NOTHING},
]


def say(model, text, **more):
    messages = [{"role": "user", "content": text}]
    return client.messages.create(model=model, max_tokens=4096, messages=messages, **more)


def streamed_message(model, text, **more):
    messages = [{"role": "user", "content": text}]
    with client.messages.stream(model=model, max_tokens=4096, messages=messages, **more) as stream:
        return stream.get_final_message()


def input_tokens(usage):
    return usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)


def text(provider, model):
    for answer in (say(model, "hello"), streamed_message(model, "hello")):
        same([block.text for block in answer.content], [TEXT], "text")
        same((answer.stop_reason, answer.model, answer.role), ("end_turn", model, "assistant"), "end")
        same((input_tokens(answer.usage), answer.usage.output_tokens), (INPUT, OUTPUT), "usage")
        if provider != "cohere":
            same(answer.usage.cache_read_input_tokens, CACHED, "cached")


def tools(provider, model):
    for ask in (say, streamed_message):
        answer = ask(model, "three", tools=TOOLS)
        calls = [block for block in answer.content if block.type == "tool_use"]
        same([call.input["city"] for call in calls], CITIES, "cities")
        same((answer.stop_reason, len({call.id for call in calls})), ("tool_use", 3), "end and ids")
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"w{at}"} for at, call in enumerate(calls)
        ]
        history = [
            {"role": "user", "content": "three"},
            {"role": "assistant", "content": [call.model_dump(exclude_none=True) for call in calls]},
            {"role": "user", "content": results},
        ]
        final = client.messages.create(
            model=model, max_tokens=100, messages=history, tools=TOOLS, system="Be brief."
        )
        said = final.content[0].text
        assert "w0" in said and "w1" in said and "w2" in said, said
        call = ask(model, "now", tools=TOOLS).content[0]
        same((call.name, call.input), ("get_time", {}), "call without arguments")


def thinking(provider, model):
    budget = {"type": "enabled", "budget_tokens": 2000}
    for ask in (say, streamed_message):
        answer = ask(model, "think", thinking=budget)
        same([block.type for block in answer.content], ["thinking", "text"], "blocks")
        same(answer.content[0].thinking, "Let me see…", "thinking")
        if provider in ("anthropic", "bedrock"):
            same(answer.content[0].signature, "c2ln", "signature")


def errors(provider, model):
    for asked_for, kind in (
        ("400", anthropic.BadRequestError), ("429", anthropic.RateLimitError), ("500", anthropic.APIStatusError),
    ):
        try:
            say(model, asked_for)
        except kind as error:
            same(error.body["type"], "error", "shape")
        else:
            raise AssertionError(f"{asked_for} was no error")
    try:
        streamed_message(model, "cut")
    except anthropic.APIError:
        pass
    else:
        raise AssertionError("a cut stream ended as if it were whole")


def listed(provider, model):
    assert model in [one.id for one in client.models.list()], "not listed"


each(told["models"], text, tools, thinking, errors, listed)
