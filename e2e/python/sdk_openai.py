"""OpenAI's SDK against every provider: chat completions, responses, embeddings, models."""

import json

import openai
from sdk_common import ANSWER, CACHED, CITIES, CITY, INPUT, NOTHING, OUTPUT, TEXT, asked, each, same

told = asked()
client = openai.OpenAI(base_url=told["base"] + "/v1", api_key=told["key"], max_retries=0)
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": CITY}},
    {"type": "function", "function": {"name": "get_time", "parameters": NOTHING}},
]
FLAT_TOOLS = [{"type": "function", **tool["function"], "strict": False} for tool in TOOLS]


def say(model, text, **more):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **more
    )


def gather(stream):
    """What a stream of chunks says: text, calls, finish, usage."""
    text, calls, finish, usage = "", {}, None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                one = calls.setdefault(call.index, ["", "", ""])
                one[0] += call.id or ""
                one[1] += call.function.name or ""
                one[2] += call.function.arguments or ""
    return text, [calls[index] for index in sorted(calls)], finish, usage


def whole(provider, model):
    answer = say(model, "hello", max_tokens=100)
    same(answer.choices[0].message.content, TEXT, "text")
    same(answer.choices[0].finish_reason, "stop", "finish")
    same(answer.model, model, "model")
    usage = answer.usage
    same((usage.prompt_tokens, usage.completion_tokens), (INPUT, OUTPUT), "usage")
    if provider != "cohere":
        same(usage.prompt_tokens_details.cached_tokens, CACHED, "cached")


def streamed(provider, model):
    options = {"include_usage": True}
    text, _, finish, usage = gather(say(model, "hello", stream=True, stream_options=options))
    same((text, finish), (TEXT, "stop"), "stream")
    same((usage.prompt_tokens, usage.completion_tokens), (INPUT, OUTPUT), "usage")
    same(gather(say(model, "hello", stream=True))[3], None, "usage that nobody asked for")


def one_tool(provider, model):
    answer = say(model, "weather", tools=TOOLS, tool_choice="auto")
    call = answer.choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "Paris"}), "call")
    same(answer.choices[0].finish_reason, "tool_calls", "finish")
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "weather"},
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    final = client.chat.completions.create(model=model, messages=history, tools=TOOLS)
    assert "sunny" in final.choices[0].message.content, final.choices[0].message.content


def three_tools(provider, model):
    text, calls, finish, _ = gather(say(model, "three", tools=TOOLS, stream=True))
    same([json.loads(call[2])["city"] for call in calls], CITIES, "cities")
    same((finish, len({call[0] for call in calls})), ("tool_calls", 3), "finish and ids")
    history = [
        {"role": "user", "content": "three"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id, name, arguments in calls
            ],
        },
        *({"role": "tool", "tool_call_id": call[0], "content": f"w{at}"} for at, call in enumerate(calls)),
    ]
    final = client.chat.completions.create(model=model, messages=history, tools=TOOLS, stream=True)
    text = gather(final)[0]
    assert all(f"w{at}" in text for at in range(3)), text


def no_arguments(provider, model):
    for stream in (False, True):
        if stream:
            calls = gather(say(model, "now", tools=TOOLS, stream=True))[1]
            name, arguments = calls[0][1:]
        else:
            function = say(model, "now", tools=TOOLS).choices[0].message.tool_calls[0].function
            name, arguments = function.name, function.arguments
        same((name, json.loads(arguments)), ("get_time", {}), "call")


def structured(provider, model):
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ANSWER, "strict": True}}
    answer = say(model, "json", response_format=form)
    same(json.loads(answer.choices[0].message.content), {"answer": 42}, "answer")


def reasoning(provider, model):
    answer = say(model, "think", reasoning_effort="low", max_completion_tokens=4000)
    same(answer.choices[0].message.content, TEXT, "text")
    same(answer.choices[0].message.reasoning_content, "Let me see…", "reasoning")


def errors(provider, model):
    for text, kind in (("400", openai.BadRequestError), ("429", openai.RateLimitError), ("500", openai.APIStatusError)):
        try:
            say(model, text)
        except kind as error:
            same(error.response.headers["x-turnpike-error-source"], "provider", "source")
        else:
            raise AssertionError(f"{text} was no error")
    try:
        # The vendor refuses the gateway's key: no fault of the caller's.
        say(model, "401")
    except openai.APIStatusError as error:
        same((error.status_code, error.code), (502, "provider_credential"), "401")
    try:
        gather(say(model, "cut", stream=True))
    except openai.APIError as error:
        assert "provider" in str(error), error
    else:
        raise AssertionError("a cut stream ended as if it were whole")


def responses(provider, model):
    answer = client.responses.create(model=model, input="hello")
    same((answer.output_text, answer.status), (TEXT, "completed"), "text")
    same((answer.usage.input_tokens, answer.usage.output_tokens), (INPUT, OUTPUT), "usage")
    with client.responses.stream(model=model, input="three", tools=FLAT_TOOLS) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    calls = [item for item in final.output if item.type == "function_call"]
    same([json.loads(call.arguments)["city"] for call in calls], CITIES, "cities")
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"w{at}"} for at, call in enumerate(calls)
    ]
    history = [{"role": "user", "content": "three"}, *(call.model_dump(exclude_none=True) for call in calls), *results]
    final = client.responses.create(model=model, input=history, tools=FLAT_TOOLS)
    assert "w0" in final.output_text and "w2" in final.output_text, final.output_text


def embeddings(provider, model):
    if provider not in ("openai", "gemini"):
        return
    answer = client.embeddings.create(model=model, input=["a", "b"])
    same([one.embedding for one in answer.data], [[0.25, -1.0]] * 2, "vectors")


def media(provider, model):
    if provider != "openai":
        return
    sound = bytes(range(256)) * 40
    same(client.audio.speech.create(model=model, voice="alloy", input="hi").content, sound, "speech")
    heard = client.audio.transcriptions.create(model=model, file=("a.wav", sound, "audio/wav"))
    same(heard.text, TEXT, "transcript")
    heard = client.audio.transcriptions.create(
        file=("a.wav", sound, "audio/wav"), model=model, response_format="text"
    )
    same(str(heard).strip(), TEXT, "transcript as text")
    drawn = client.images.generate(model=model, prompt="a cat")
    same((drawn.data[0].b64_json, drawn.usage.output_tokens), ("AAAA", 5), "picture")
    same(client.moderations.create(model=model, input="x").results[0].flagged, False, "moderation")
    told = client.post("/rerank", body={"model": model, "query": "q", "documents": ["a", "b"]}, cast_to=dict[str, object])
    same(len(told["results"]), 2, "rerank")


def legacy(provider, model):
    if provider == "openai":
        return
    same(client.completions.create(model=model, prompt="hello").choices[0].text, TEXT, "text")
    pieces = client.completions.create(model=model, prompt="hello", stream=True)
    same("".join(piece.choices[0].text for piece in pieces if piece.choices), TEXT, "stream")


def unsupported(provider, model):
    body = {"logit_bias": {"1": 1}} if provider != "openai" else {}
    answer = client.chat.completions.with_raw_response.create(
        model="drops-" + provider, messages=[{"role": "user", "content": "hello"}], extra_body=body
    )
    if provider != "openai":
        same(answer.headers["x-turnpike-dropped"], "logit_bias", "dropped")
        try:
            say(model, "hello", extra_body=body)
        except openai.BadRequestError as error:
            same((error.code, error.param), ("unsupported_parameter", "logit_bias"), "refused")
        else:
            raise AssertionError("logit_bias went silently")


def listed(provider, model):
    assert model in [one.id for one in client.models.list()], "not listed"
    same(client.models.retrieve(model).id, model, "model")


each(
    told["models"], whole, streamed, one_tool, three_tools, no_arguments, structured, reasoning, errors,
    responses, embeddings, media, legacy, unsupported, listed,
)
