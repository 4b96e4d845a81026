"""Makes calls for a test: one line of JSON each way until the input ends. In: {"call", "arguments"}. Out: {"answer"}, or
{"status", "code", "message"}."""
import json
import sys


def serve(answer, refusals, describe):
    """answer(call, arguments) gives what JSON can hold; a refusal of those classes is said with describe(it)."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            said = {"answer": answer(asked["call"], asked["arguments"])}
        except refusals as refused:
            said = describe(refused)
        print(json.dumps(said), flush=True)
