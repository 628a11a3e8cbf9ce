"""Model providers for tests, as strict as the vendors are: what a vendor would refuse is refused
here, in the vendor's own words, and what is said back has the vendor's own shape.

Run by itself it prints the port that it listens on. Each vendor is under a path of its own:
/openai, /responses, /anthropic, /gemini, /bedrock, /cohere. What is answered depends on the last
text of the user; see `script`. Bytes of streams are cut in the middle of letters.
"""

import base64
import binascii
import email
import email.policy
import hashlib
import hmac
import json
import re
import struct
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-vendor-0123456789abcdef"
ACCESS = ("AKIDEXAMPLE0123456789", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
REGION = "us-east-1"
TEXT = "Grüße, 世界 🌍!"
THOUGHT = "Let me see…"
CITIES = ["Paris", "Zürich", "東京"]
INPUT, CACHED, OUTPUT, REASONING = 20, 8, 9, 4


class Refused(Exception):
    def __init__(self, status, kind, message):
        super().__init__(message)
        self.status, self.kind = status, kind


def need(condition, message):
    if not condition:
        raise Refused(400, "invalid_request_error", message)


def only(value, names, where):
    need(isinstance(value, dict), f"{where}: must be an object")
    for name in value:
        need(name in names.split(), f"{where}.{name}: Extra inputs are not permitted")


def script(text, tools, has_results):
    """What the model says: text, thought, calls, a fault."""
    said = {"text": None, "thought": None, "calls": [], "fault": None}
    if text in ("401", "429", "500", "503", "400"):
        said["fault"] = int(text)
    elif text == "cut":
        said["text"], said["fault"] = TEXT, "cut"
    elif text == "think":
        said["thought"], said["text"] = THOUGHT, TEXT
    elif has_results:
        said["text"] = "So it is: " + has_results
    elif text == "weather" and "get_weather" in tools:
        said["calls"] = [("get_weather", {"city": "Paris"})]
    elif text == "three" and "get_weather" in tools:
        said["calls"] = [("get_weather", {"city": city}) for city in CITIES]
    elif text == "now" and "get_time" in tools:
        said["calls"] = [("get_time", {})]
    elif text == "json":
        said["text"] = '{"answer": 42}'
    else:
        said["text"] = TEXT
    return said


def pieces(text, size=3):
    return [text[at : at + size] for at in range(0, len(text), size)]


# ---- OpenAI's chat completions -------------------------------------------------------------------

CHAT = """model messages tools tool_choice parallel_tool_calls max_tokens max_completion_tokens
temperature top_p stop stream stream_options response_format reasoning_effort seed user
frequency_penalty presence_penalty logprobs top_logprobs n metadata service_tier store
safety_identifier prompt_cache_key"""


def chat(body):
    only(body, CHAT, "body")
    need(isinstance(body.get("model"), str), "model: required")
    messages = body.get("messages")
    need(isinstance(messages, list) and messages, "messages: required")
    open_calls, results, text = [], [], ""
    for at, message in enumerate(messages):
        role = message.get("role")
        where = f"messages[{at}]"
        only(message, "role content name tool_calls tool_call_id refusal", where)
        if role == "tool":
            need(message.get("tool_call_id") in open_calls, f"{where}: no such tool call")
            open_calls.remove(message["tool_call_id"])
            results.append(flat(message["content"], where))
            continue
        need(not open_calls, f"{where}: tool calls {open_calls} were not answered")
        if role == "assistant":
            for call in message.get("tool_calls") or []:
                need(call["type"] == "function", f"{where}: type")
                need(isinstance(json.loads(call["function"]["arguments"]), dict), f"{where}: arguments")
                open_calls.append(call["id"])
            need(message.get("content") or open_calls, f"{where}: empty")
        elif role == "user":
            text, results = flat(message["content"], where), []
        else:
            need(role in ("system", "developer"), f"{where}.role: {role}")
            flat(message["content"], where)
    need(not open_calls, f"tool calls {open_calls} were not answered")
    tools = [tool["function"]["name"] for tool in body.get("tools", []) if tool["type"] == "function"]
    if "response_format" in body and text == "json":
        need(body["response_format"]["type"] in ("json_schema", "json_object"), "response_format")
    if body.get("stream"):
        need(body.get("stream_options", {}).get("include_usage"), "the gateway must ask for usage")
    return script(text, tools, " ".join(results))


def flat(content, where):
    if isinstance(content, str):
        need(content, f"{where}: empty content")
        return content
    need(isinstance(content, list) and content, f"{where}.content")
    text = ""
    for part in content:
        kind = part.get("type")
        if kind == "text":
            text += part["text"]
        elif kind == "image_url":
            url = part["image_url"]["url"]
            need(url.startswith(("https://", "data:image/")), f"{where}: image url")
        else:
            need(kind in ("input_audio", "file", "refusal"), f"{where}: {kind}")
    return text


def chat_usage():
    return {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
        "completion_tokens_details": {"reasoning_tokens": REASONING},
    }


def chat_whole(body, said):
    message = {"role": "assistant", "content": said["text"], "refusal": None}
    if said["thought"]:
        message["reasoning_content"] = said["thought"]
    if said["calls"]:
        message["tool_calls"] = [
            {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
            for at, (name, args) in enumerate(said["calls"])
        ]
    finish = "tool_calls" if said["calls"] else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": body["model"],
        "choices": [choice], "usage": chat_usage(),
    }


def chat_stream(body, said):
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return sse(
            {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000,
             "model": body["model"], "choices": [choice]}
        )

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(said["thought"] or ""):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(said["text"] or ""):
        yield chunk({"content": piece})
    # Parallel calls interleave, as some servers have it.
    arguments = [pieces(json.dumps(args, ensure_ascii=False), 4) for _, args in said["calls"]]
    for at, (name, _) in enumerate(said["calls"]):
        function = {"name": name, "arguments": ""}
        yield chunk({"tool_calls": [{"index": at, "id": f"call_{at}", "type": "function", "function": function}]})
    for turn in range(max(map(len, arguments), default=0)):
        for at, parts in enumerate(arguments):
            if turn < len(parts):
                yield chunk({"tool_calls": [{"index": at, "function": {"arguments": parts[turn]}}]})
    if said["fault"] == "cut":
        return
    yield chunk({}, "tool_calls" if said["calls"] else "stop")
    yield sse(
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000,
         "model": body["model"], "choices": [], "usage": chat_usage()}
    )
    yield b"data: [DONE]\n\n"


def sse(data, event=None, end=b"\n\n"):
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + json.dumps(data, ensure_ascii=False).encode() + end


# ---- Anthropic's Messages ------------------------------------------------------------------------

MESSAGES = """model messages max_tokens system tools tool_choice temperature top_p top_k stop_sequences
stream thinking metadata service_tier output_config"""


def messages(body):
    only(body, MESSAGES, "body")
    need(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
    given = body.get("messages")
    need(given and given[0]["role"] == "user", "messages: first message must use the user role")
    text, results, open_calls = "", [], []
    for at, message in enumerate(given):
        only(message, "role content", f"messages.{at}")
        need(message["role"] == ("assistant" if at % 2 else "user"), f"messages.{at}: roles must alternate")
        blocks = message["content"]
        if isinstance(blocks, str):
            blocks = [{"type": "text", "text": blocks}]
        need(blocks, f"messages.{at}: content must not be empty")
        answered = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if message["role"] == "user":
            need(sorted(answered) == sorted(open_calls), f"messages.{at}: tool_use without tool_result")
            open_calls, results = [], []
        for block in blocks:
            kind = block["type"]
            if kind == "text":
                need(block["text"], f"messages.{at}: text content blocks must be non-empty")
                if message["role"] == "user":
                    text = block["text"]
            elif kind == "tool_use":
                need(re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]), f"messages.{at}: id")
                need(isinstance(block["input"], dict), f"messages.{at}: input")
                open_calls.append(block["id"])
            elif kind == "tool_result":
                content = block.get("content", "")
                parts = [{"text": content}] if isinstance(content, str) else content
                results.append("".join(part.get("text", "") for part in parts))
            else:
                need(kind in ("image", "document", "thinking", "redacted_thinking"), f"messages.{at}: {kind}")
    need(not open_calls, "tool_use without tool_result")
    for tool in body.get("tools", []):
        need(tool["input_schema"]["type"] == "object", "tools: input_schema")
    thinking = body.get("thinking")
    if thinking and thinking["type"] == "enabled":
        need(1024 <= thinking["budget_tokens"] < body["max_tokens"], "thinking.budget_tokens")
    return script(text, [tool["name"] for tool in body.get("tools", [])], " ".join(results))


def message_usage():
    return {
        "input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED,
        "cache_creation_input_tokens": 0, "output_tokens": OUTPUT,
    }


def message_blocks(said):
    if said["thought"]:
        yield {"type": "thinking", "thinking": said["thought"], "signature": "c2ln"}
    if said["text"]:
        yield {"type": "text", "text": said["text"]}
    for at, (name, args) in enumerate(said["calls"]):
        yield {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": args}


def message_whole(body, said):
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
        "content": list(message_blocks(said)), "stop_sequence": None,
        "stop_reason": "tool_use" if said["calls"] else "end_turn", "usage": message_usage(),
    }


def message_stream(body, said):
    def event(kind, **members):
        return sse({"type": kind, **members}, kind)

    start = {**message_whole(body, {**said, "text": None, "thought": None, "calls": []}), "stop_reason": None}
    start["usage"] = {**message_usage(), "output_tokens": 1}
    yield event("message_start", message=start)
    yield event("ping")
    for at, block in enumerate(message_blocks(said)):
        kind = block["type"]
        if kind == "text":
            empty, deltas = {"type": "text", "text": ""}, [
                {"type": "text_delta", "text": piece} for piece in pieces(block["text"])
            ]
        elif kind == "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        else:
            empty = {**block, "input": {}}
            text = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in [""] + pieces(text, 5)]
        yield event("content_block_start", index=at, content_block=empty)
        for delta in deltas:
            yield event("content_block_delta", index=at, delta=delta)
        if said["fault"] == "cut":
            return
        yield event("content_block_stop", index=at)
    stop = "tool_use" if said["calls"] else "end_turn"
    yield event(
        "message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": OUTPUT}
    )
    yield event("message_stop")


# ---- Gemini --------------------------------------------------------------------------------------

GENERATE = "contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent labels"


def generate(body):
    only(body, GENERATE, "Unknown name")
    contents = body.get("contents")
    need(contents, "contents is not specified")
    text, results, open_calls = "", [], []
    for at, content in enumerate(contents):
        need(content.get("role") in ("user", "model"), f"contents[{at}]: Please use a valid role: user, model.")
        need(content.get("parts"), f"contents[{at}].parts: contents.parts must not be empty.")
        answers = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
        if open_calls or answers:
            need(sorted(answers) == sorted(open_calls), "function response parts must match function call parts")
        open_calls = []
        for part in content["parts"]:
            only(part, "text inlineData fileData functionCall functionResponse thought thoughtSignature", "part")
            if "functionCall" in part:
                need(isinstance(part["functionCall"].get("args", {}), dict), "args")
                open_calls.append(part["functionCall"]["name"])
            elif "functionResponse" in part:
                need(isinstance(part["functionResponse"]["response"], dict), "response")
                results.append(json.dumps(part["functionResponse"]["response"], ensure_ascii=False))
            elif "text" in part and content["role"] == "user":
                text, results = part["text"], []
    config = body.get("generationConfig", {})
    only(
        config,
        "temperature topP topK maxOutputTokens stopSequences seed candidateCount presencePenalty frequencyPenalty"
        " responseLogprobs logprobs responseMimeType responseSchema responseJsonSchema thinkingConfig"
        " responseModalities speechConfig",
        "generationConfig",
    )
    tools = [
        function["name"]
        for tool in body.get("tools", [])
        for function in tool.get("functionDeclarations", [])
    ]
    return script(text, tools, " ".join(results))


def generate_parts(said):
    if said["thought"]:
        yield {"text": said["thought"], "thought": True}
    if said["text"]:
        yield {"text": said["text"]}
    for name, args in said["calls"]:
        yield {"functionCall": {"name": name, "args": args}, "thoughtSignature": "dGhvdWdodA=="}


def generate_chunk(body, parts, finish=None):
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {
        "promptTokenCount": INPUT, "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": OUTPUT - REASONING, "thoughtsTokenCount": REASONING,
        "totalTokenCount": INPUT + OUTPUT,
    }
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-test", "responseId": "r1"}


def generate_whole(body, said):
    return generate_chunk(body, list(generate_parts(said)), "STOP")


def generate_stream(body, said):
    for part in generate_parts(said):
        texts = pieces(part["text"]) if "text" in part else [None]
        for piece in texts:
            yield sse(generate_chunk(body, [{**part, "text": piece} if piece else part]), end=b"\r\n\r\n")
    if said["fault"] != "cut":
        yield sse(generate_chunk(body, [{"text": ""}], "STOP"), end=b"\r\n\r\n")


# ---- Bedrock's Converse --------------------------------------------------------------------------

CONVERSE = """messages system inferenceConfig toolConfig additionalModelRequestFields requestMetadata
performanceConfig guardrailConfig additionalModelResponseFieldPaths serviceTier outputConfig"""


def converse(body):
    only(body, CONVERSE, "body")
    given = body.get("messages")
    need(given and given[0]["role"] == "user", "A conversation must start with a user message.")
    text, results, open_calls = "", [], []
    for at, message in enumerate(given):
        need(message["role"] == ("assistant" if at % 2 else "user"), "roles must alternate")
        need(message["content"], "The content field in the Message object is empty.")
        if message["role"] == "user":
            answered = [b["toolResult"]["toolUseId"] for b in message["content"] if "toolResult" in b]
            need(sorted(answered) == sorted(open_calls), "toolResult blocks must match toolUse blocks")
            open_calls, results = [], []
        for block in message["content"]:
            need(len(block) == 1, "a content block is a union")
            if "text" in block:
                need(block["text"].strip(), "The text field in the ContentBlock object is blank.")
                text = block["text"] if message["role"] == "user" else text
            elif "toolUse" in block:
                need(isinstance(block["toolUse"]["input"], dict), "input")
                open_calls.append(block["toolUse"]["toolUseId"])
            elif "toolResult" in block:
                parts = block["toolResult"]["content"]
                results.append("".join(part.get("text", "") for part in parts))
            elif "image" in block:
                base64.b64decode(block["image"]["source"]["bytes"], validate=True)
    tools = [tool["toolSpec"]["name"] for tool in body.get("toolConfig", {}).get("tools", []) if "toolSpec" in tool]
    return script(text, tools, " ".join(results))


def converse_usage():
    return {
        "inputTokens": INPUT - CACHED, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT,
        "cacheReadInputTokens": CACHED, "cacheWriteInputTokens": 0,
    }


def converse_blocks(said):
    if said["thought"]:
        yield {"reasoningContent": {"reasoningText": {"text": said["thought"], "signature": "c2ln"}}}
    if said["text"]:
        yield {"text": said["text"]}
    for at, (name, args) in enumerate(said["calls"]):
        yield {"toolUse": {"toolUseId": f"tooluse_{at}", "name": name, "input": args}}


def converse_whole(body, said):
    return {
        "output": {"message": {"role": "assistant", "content": list(converse_blocks(said))}},
        "stopReason": "tool_use" if said["calls"] else "end_turn", "usage": converse_usage(),
        "metrics": {"latencyMs": 7},
    }


def frame(event, payload):
    headers = b""
    for name, value in ((":event-type", event), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = json.dumps(payload, ensure_ascii=False).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    prelude += struct.pack(">I", binascii.crc32(prelude))
    message = prelude + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


def converse_stream(body, said):
    yield frame("messageStart", {"role": "assistant"})
    for at, block in enumerate(converse_blocks(said)):
        if "text" in block:
            deltas = [{"text": piece} for piece in pieces(block["text"])]
        elif "reasoningContent" in block:
            told = block["reasoningContent"]["reasoningText"]
            deltas = [{"reasoningContent": {"text": piece}} for piece in pieces(told["text"])]
            deltas.append({"reasoningContent": {"signature": told["signature"]}})
        else:
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield frame("contentBlockStart", {"contentBlockIndex": at, "start": start})
            text = json.dumps(use["input"], ensure_ascii=False) if use["input"] else ""
            deltas = [{"toolUse": {"input": piece}} for piece in pieces(text, 5)]
        for delta in deltas:
            yield frame("contentBlockDelta", {"contentBlockIndex": at, "delta": delta})
        if said["fault"] == "cut":
            return
        yield frame("contentBlockStop", {"contentBlockIndex": at})
    yield frame("messageStop", {"stopReason": "tool_use" if said["calls"] else "end_turn"})
    yield frame("metadata", {"usage": converse_usage(), "metrics": {"latencyMs": 7}})


def check_signature(handler, body):
    """Recomputes the signature from what came over the wire.

    Source: AWS, "Create a signed AWS API request"."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/bedrock/aws4_request, ?"
        r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
        handler.headers.get("authorization", ""),
    )
    if not found:
        raise Refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    access, day, region, signed, signature = found.groups()
    names = signed.split(";")
    if access != ACCESS[0] or region != REGION or "host" not in names or "x-amz-date" not in names:
        raise Refused(403, "UnrecognizedClientException", "The security token is invalid.")
    path, _, query = handler.raw_path.partition("?")
    path = urllib.parse.quote(path, safe="/-_.~")
    headers = "".join(f"{name}:{' '.join(handler.headers[name].split())}\n" for name in names)
    hashed = hashlib.sha256(body).hexdigest()
    canonical = "\n".join([handler.command, path, query, headers, signed, hashed])
    scope = f"{day}/{region}/bedrock/aws4_request"
    moment = handler.headers["x-amz-date"]
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = ("AWS4" + ACCESS[1]).encode()
    for part in (day, region, "bedrock", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise Refused(403, "InvalidSignatureException", "The request signature we calculated does not match.")


# ---- Cohere's v2 ---------------------------------------------------------------------------------

COHERE = """model messages tools tool_choice documents response_format stream max_tokens temperature p k seed
stop_sequences frequency_penalty presence_penalty logprobs strict_tools thinking safety_mode citation_options"""


def cohere(body):
    only(body, COHERE, "body")
    text, results = "", []
    for message in body["messages"]:
        if message["role"] == "tool":
            content = message["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            for part in parts:
                results.append(part.get("text") or json.dumps(part.get("document"), ensure_ascii=False))
        elif message["role"] == "user":
            content = message["content"]
            text = content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
            results = []
    tools = [tool["function"]["name"] for tool in body.get("tools", [])]
    return script(text, tools, " ".join(results))


def cohere_usage():
    return {
        "billed_units": {"input_tokens": INPUT, "output_tokens": OUTPUT},
        "tokens": {"input_tokens": INPUT, "output_tokens": OUTPUT},
    }


def cohere_whole(body, said):
    message = {"role": "assistant"}
    content = []
    if said["thought"]:
        content.append({"type": "thinking", "thinking": said["thought"]})
    if said["text"]:
        content.append({"type": "text", "text": said["text"]})
    if content:
        message["content"] = content
    if said["calls"]:
        message["tool_calls"] = [
            {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
            for at, (name, args) in enumerate(said["calls"])
        ]
    finish = "TOOL_CALL" if said["calls"] else "COMPLETE"
    return {"id": "c1", "finish_reason": finish, "message": message, "usage": cohere_usage()}


def cohere_stream(body, said):
    def event(kind, **members):
        return sse({"type": kind, **members}, kind)

    yield event("message-start", id="c1", delta={"message": {"role": "assistant"}})
    at = 0
    for name in ("thinking", "text"):
        told = said["thought" if name == "thinking" else "text"]
        if told:
            yield event("content-start", index=at, delta={"message": {"content": {"type": name, name: ""}}})
            for piece in pieces(told):
                yield event("content-delta", index=at, delta={"message": {"content": {name: piece}}})
            if said["fault"] == "cut":
                return
            yield event("content-end", index=at)
            at += 1
    for at, (name, args) in enumerate(said["calls"]):
        call = {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield event("tool-call-start", index=at, delta={"message": {"tool_calls": call}})
        for piece in pieces(json.dumps(args, ensure_ascii=False), 5):
            delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            yield event("tool-call-delta", index=at, delta=delta)
        yield event("tool-call-end", index=at)
    finish = "TOOL_CALL" if said["calls"] else "COMPLETE"
    yield event("message-end", delta={"finish_reason": finish, "usage": cohere_usage()})


# ---- the server ----------------------------------------------------------------------------------


def embeddings(body):
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": at, "embedding": [0.25, -1.0]} for at in range(len(inputs))]
    if body.get("encoding_format") == "base64":
        for one in data:
            one["embedding"] = base64.b64encode(struct.pack("<2f", 0.25, -1.0)).decode()
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def gemini_embeddings(body):
    for request in body["requests"]:
        need(request["model"].startswith("models/"), "model")
        need(request["content"]["parts"], "content")
    return {"embeddings": [{"values": [0.25, -1.0]} for _ in body["requests"]]}


SOUND = bytes(range(256)) * 40


def moderations(body):
    result = {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
    return {"id": "modr-1", "model": body["model"], "results": [result]}


def images(body):
    need(body["prompt"], "prompt")
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    return {"created": 1700000000, "data": [{"b64_json": "AAAA"}], "usage": usage}


def rerank(body):
    results = [{"index": at, "relevance_score": 0.5} for at in range(len(body["documents"]))]
    return {"id": "rr-1", "results": results, "meta": {"billed_units": {"search_units": 1}}}


def form(headers, body):
    """The fields of a form; of a file its length."""
    head = b"content-type: " + headers["content-type"].encode() + b"\r\n\r\n"
    fields = {}
    for part in email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        fields[name] = len(content) if part.get_filename() else content.decode()
    return fields


def error_of(vendor, refused):
    status, kind, message = refused.status, refused.kind, str(refused)
    if vendor == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    if vendor == "gemini":
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
        return {"error": {"code": status, "message": message, "status": names.get(status, "INTERNAL")}}
    if vendor in ("bedrock", "cohere"):
        return {"message": message}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


KINDS = {401: "authentication_error", 429: "rate_limit_error", 400: "invalid_request_error"}

# Path below the vendor's own: (vendor, reader, whole, stream).
TALKS = {
    "chat/completions": (chat, chat_whole, chat_stream),
    "messages": (messages, message_whole, message_stream),
    "generateContent": (generate, generate_whole, None),
    "streamGenerateContent": (generate, None, generate_stream),
    "converse": (converse, converse_whole, None),
    "converse-stream": (converse, None, converse_stream),
    "chat": (cohere, cohere_whole, cohere_stream),
}
WHOLE = {
    "embeddings": embeddings,
    "batchEmbedContents": gemini_embeddings,
    "moderations": moderations,
    "generations": images,
    "rerank": rerank,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def authorize(self, vendor, body):
        headers = self.headers
        if vendor == "bedrock":
            return check_signature(self, body)
        shown = {
            "anthropic": headers.get("x-api-key"),
            "gemini": headers.get("x-goog-api-key"),
        }.get(vendor, (headers.get("authorization") or "").removeprefix("Bearer "))
        if shown != KEY:
            raise Refused(401, "authentication_error", "Incorrect API key provided")
        if vendor == "anthropic":
            need(headers.get("anthropic-version") == "2023-06-01", "anthropic-version: header is required")
        return None

    def do_POST(self):
        self.raw_path = self.path
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = urllib.parse.urlsplit(self.path)
        _, vendor, *rest = parts.path.split("/")
        if vendor == "model":
            vendor = "bedrock"
        last = re.split("[/:]", parts.path)[-1]
        if parts.path.endswith("/chat/completions"):
            last = "chat/completions"
        try:
            self.authorize(vendor, body)
            if last == "transcriptions":
                return self.transcribe(body)
            need(self.headers.get("content-type") == "application/json", "content-type")
            asked = json.loads(body)
            if last == "speech":
                need(asked["model"].startswith("us."), "model")
                return self.send(200, "audio/mpeg", SOUND)
            if last in WHOLE:
                return self.whole(200, WHOLE[last](asked))
            if last == "streamGenerateContent":
                need(parts.query == "alt=sse", "alt=sse")
            read, whole, stream = TALKS[last]
            said = read(asked)
            if isinstance(said["fault"], int):
                kind = KINDS.get(said["fault"], "api_error")
                raise Refused(said["fault"], kind, "told to fail")
            is_stream = whole is None or (stream is not None and asked.get("stream") is True)
            if is_stream:
                return self.stream(vendor, stream(asked, said))
            return self.whole(200, whole(asked, said))
        except Refused as refused:
            return self.whole(refused.status, error_of(vendor, refused))
        except (KeyError, TypeError, ValueError) as wrong:
            refused = Refused(400, "invalid_request_error", f"{type(wrong).__name__}: {wrong}")
            return self.whole(400, error_of(vendor, refused))

    def transcribe(self, body):
        fields = form(self.headers, body)
        need(fields["model"].startswith("us."), f"model: {fields}")
        need(fields["file"] == len(SOUND), f"file: {fields}")
        if fields.get("response_format") == "text":
            return self.send(200, "text/plain; charset=utf-8", TEXT.encode())
        usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 4, "total_tokens": 18}
        return self.whole(200, {"text": TEXT, "usage": usage})

    def whole(self, status, answer):
        self.send(status, "application/json", json.dumps(answer, ensure_ascii=False).encode())

    def send(self, status, kind, data):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        if status == 429:
            self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(data)

    def stream(self, vendor, events):
        kind = "application/vnd.amazon.eventstream" if vendor == "bedrock" else "text/event-stream"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        data = b"".join(events)
        # Cut in odd places: within letters, lines and frames.
        for piece in (data[at : at + 17] for at in range(0, len(data), 17)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    sys.stdout.close()
    server.serve_forever()
