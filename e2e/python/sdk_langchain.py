"""LangChain over OpenAI's protocol against every provider."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from sdk_common import INPUT, OUTPUT, TEXT, asked, each, same

told = asked()


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


def model_of(name, **more):
    return ChatOpenAI(model=name, base_url=told["base"] + "/v1", api_key=told["key"], max_retries=0, **more)


def text(provider, model):
    answer = model_of(model).invoke("hello")
    same(answer.content, TEXT, "text")
    usage = answer.usage_metadata
    same((usage["input_tokens"], usage["output_tokens"]), (INPUT, OUTPUT), "usage")
    streamed = "".join(chunk.content for chunk in model_of(model, stream_usage=True).stream("hello"))
    same(streamed, TEXT, "stream")


def agent(provider, model):
    bound = model_of(model).bind_tools([get_weather])
    history = [HumanMessage("three")]
    answer = bound.invoke(history)
    same(len(answer.tool_calls), 3, "calls")
    history.append(answer)
    for call in answer.tool_calls:
        history.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
    final = bound.invoke(history)
    assert "東京" in final.content, final.content


each(told["models"], text, agent)
