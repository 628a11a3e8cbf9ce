"""Google's SDK against every provider."""

from google import genai
from google.genai import errors, types
from sdk_common import CACHED, CITIES, CITY, INPUT, NOTHING, OUTPUT, TEXT, asked, each, same

told = asked()
client = genai.Client(api_key=told["key"], http_options=types.HttpOptions(base_url=told["base"]))
TOOLS = types.GenerateContentConfig(
    tools=[
        types.Tool(
            function_declarations=[
                types.FunctionDeclaration(name="get_weather", description="Weather", parameters_json_schema=CITY),
                types.FunctionDeclaration(name="get_time", parameters_json_schema=NOTHING),
            ]
        )
    ],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def text(provider, model):
    answer = client.models.generate_content(model=model, contents="hello")
    same((answer.text, answer.candidates[0].finish_reason.name), (TEXT, "STOP"), "text")
    usage = answer.usage_metadata
    output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    same((usage.prompt_token_count, output), (INPUT, OUTPUT), "usage")
    if provider != "cohere":
        same(usage.cached_content_token_count, CACHED, "cached")
    parts, last = "", None
    for last in client.models.generate_content_stream(model=model, contents="hello"):
        parts += last.text or ""
    same((parts, last.candidates[0].finish_reason.name), (TEXT, "STOP"), "stream")
    same(last.usage_metadata.prompt_token_count, INPUT, "usage")


def tools(provider, model):
    answer = client.models.generate_content(model=model, contents="three", config=TOOLS)
    same([call.args["city"] for call in answer.function_calls], CITIES, "cities")
    streamed = []
    for chunk in client.models.generate_content_stream(model=model, contents="three", config=TOOLS):
        streamed += chunk.function_calls or []
    same([call.args["city"] for call in streamed], CITIES, "cities of a stream")
    results = types.Content(
        role="user",
        parts=[
            types.Part(
                function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": f"w{at}"})
            )
            for at, call in enumerate(answer.function_calls)
        ],
    )
    history = [types.Content(role="user", parts=[types.Part(text="three")]), answer.candidates[0].content, results]
    final = client.models.generate_content(model=model, contents=history, config=TOOLS)
    assert "w0" in final.text and "w2" in final.text, final.text
    now = client.models.generate_content(model=model, contents="now", config=TOOLS).function_calls[0]
    same((now.name, now.args or {}), ("get_time", {}), "call without arguments")


def faults(provider, model):
    for said, status in (("400", 400), ("429", 429)):
        try:
            client.models.generate_content(model=model, contents=said)
        except errors.ClientError as error:
            same(error.code, status, "status")
        else:
            raise AssertionError(f"{said} was no error")


each(told["models"], text, tools, faults)
