#!/usr/bin/env python3
"""Compares the engine, or the server on top of it, with llama-server on the same prompts.

    serving.py PEER MODEL [--clients N] [--requests R] [--prompt-words W] [--prefix-words P] [--tokens M]
    serving.py PEER MODEL --program OLLAMA [--against-engine] ...

PEER is the folder with llama-server. Ours is examples/engine_bench.rs, in its own process without
HTTP, or with --program the server of examples/ollama; servers are asked over HTTP on the loopback.
--against-engine puts the engine in llama-server's place. Each runs in turn, freshly started, who is
first changing from round to round. Prints every figure, the medians and the ratios as Markdown.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import arrivals
import compare
import ollama


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=12)
    parser.add_argument("--prompt-words", type=int, default=100)
    parser.add_argument("--prefix-words", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--ctx", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--program", type=pathlib.Path, help="the program of examples/ollama")
    parser.add_argument("--against-engine", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="measure although others compute")
    args = parser.parse_args()

    ours = compare.build_native(["engine_bench"]) / "engine_bench"
    compare.wait_for_quiet(args.busy)
    print(f"- machine: {compare.cpu()}; {args.model.name}; {vars_of(args)}")
    print(f"- llamakit: {compare.our_commit()}; peer: {compare.peer_commit(args.peer)}\n")
    prompts = json.loads(bench(ours, args, ["--print-prompts"]))
    engine = lambda: figures(json.loads(bench(ours, args, ["--threads", args.threads])))
    sides = {"llamakit": engine}
    if args.program:
        sides = {"ollama of llamakit": lambda: figures(serve_ollama(args, prompts))}
    if args.against_engine:
        sides["engine"] = engine
    else:
        sides["llama-server"] = lambda: figures(serve_llama(args, prompts))
    compare.report(compare.alternate(sides, args.rounds))


def vars_of(args):
    names = ("clients", "requests", "prompt_words", "prefix_words", "tokens", "parallel", "ctx")
    return ", ".join(f"{name} {getattr(args, name)}" for name in names)


def figures(result):
    return {
        "tokens/s": result["tokens_per_second"],
        "first token p50, ms": result["first_token_ms"]["p50"],
        "first token p95, ms": result["first_token_ms"]["p95"],
        "gap p50, ms": result["gap_ms"]["p50"],
        "gap p99, ms": result["gap_ms"]["p99"],
        "prompt tokens evaluated": result["prompt_tokens_evaluated"],
    }


def bench(program, args, more):
    command = [program, "--model", args.model]
    for name in ("clients", "requests", "prompt-words", "prefix-words", "tokens", "parallel", "ctx"):
        command += [f"--{name}", getattr(args, name.replace("-", "_"))]
    command = [str(arg) for arg in command + more]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def serve_llama(args, prompts):
    more = ["-np", args.parallel]
    program = args.peer / "llama-server"
    with compare.Server(program, args.model, args.ctx, args.threads, more) as url:
        return all_clients(args, prompts, lambda prompt: ask_llama(url, prompt, args.tokens))


def serve_ollama(args, prompts):
    environment = {"OLLAMA_NUM_PARALLEL": args.parallel, "OLLAMA_CONTEXT_LENGTH": args.ctx // args.parallel}
    with ollama.Server(args.program, args.model, environment) as url:
        for _ in compare.post(f"{url}/api/generate", {"model": "m", "options": {"num_thread": args.threads}}):
            pass
        return all_clients(args, prompts, lambda prompt: ask_ollama(url, prompt, args))


def all_clients(args, prompts, ask):
    waiting = list(reversed(prompts))
    answers = []
    lock = threading.Lock()

    def client():
        while True:
            with lock:
                if not waiting:
                    return
                prompt = waiting.pop()
            answer = ask(prompt)
            with lock:
                answers.append(answer)

    clients = [threading.Thread(target=client) for _ in range(args.clients)]
    start = time.monotonic()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    took = time.monotonic() - start
    if len(answers) != len(prompts):
        sys.exit("not every prompt was answered")
    first = sorted(answer["times"][0] for answer in answers)
    gaps = sorted(b - a for answer in answers for a, b in zip(answer["times"], answer["times"][1:]))
    return {
        "tokens_per_second": sum(answer["tokens"] for answer in answers) / took,
        "first_token_ms": {"p50": percentile(first, 50), "p95": percentile(first, 95)},
        "gap_ms": {"p50": percentile(gaps, 50), "p99": percentile(gaps, 99)},
        "prompt_tokens_evaluated": sum(answer["evaluated"] for answer in answers),
    }


def percentile(ordered, hundredths):
    return 1e3 * ordered[max(0, -(-len(ordered) * hundredths // 100) - 1)]


def ask_llama(url, prompt, tokens):
    body = {
        "prompt": prompt,
        "n_predict": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "cache_prompt": True,
        "return_tokens": True,
    }
    times, evaluated = [], 0
    for at, line in arrivals.read(f"{url}/completion", body):
        if not line.startswith(b"data: "):
            continue
        event = json.loads(line[6:])
        times += [at] * len(event.get("tokens", []))
        if event.get("stop"):
            evaluated = event["timings"]["prompt_n"]
    if len(times) < tokens - 1:
        sys.exit(f"llama-server gave {len(times)} of {tokens} tokens")
    return {"times": times[:tokens], "tokens": min(len(times), tokens), "evaluated": evaluated}


def ask_ollama(url, prompt, args):
    options = {
        "num_predict": args.tokens,
        "temperature": 0,
        "repeat_penalty": 1,
        "ignore_eos": True,
        "num_thread": args.threads,
    }
    body = {"model": "m", "prompt": prompt, "raw": True, "options": options}
    times, end = [], {}
    for at, line in arrivals.read(f"{url}/api/generate", body):
        end = json.loads(line)
        if end.get("response"):
            times.append(at)
    if end.get("eval_count") != args.tokens:
        sys.exit(f"the server answered {end}")
    evaluated = end["prompt_eval_count"] - end.get("prompt_cached_count", 0)
    return {"times": times, "tokens": args.tokens, "evaluated": evaluated}


if __name__ == "__main__":
    main()
