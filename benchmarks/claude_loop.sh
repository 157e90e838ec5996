#!/bin/sh
# The same Claude Code runs without the plugin: each in a plain worktree with a HOME of its own.
#
#   claude_loop.sh loop DIR REPOSITORY RUNS JOBS CLAUDE [ARGUMENT…]
#   claude_loop.sh one DIR REPOSITORY RUN CLAUDE [ARGUMENT…]
#
# The prompt is DIR/prompt.md; ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL come from outside.
set -eu

one() { # DIR REPOSITORY RUN CLAUDE [ARGUMENT…]
    prompt="$1/prompt.md" repository="$2" run="$1/run_$3"
    mkdir -p "$run/home"
    # Two `worktree add` at once on one repository can fail.
    flock "$1/lock" git -C "$repository" worktree add -q --detach "$run/workspace"
    shift 3
    cd "$run/workspace"
    env -i PATH="$PATH" HOME="$run/home" TERM=dumb LANG=C.UTF-8 IS_SANDBOX=1 \
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1 \
        ANTHROPIC_API_KEY="$ANTHROPIC_API_KEY" ANTHROPIC_BASE_URL="$ANTHROPIC_BASE_URL" \
        "$@" < "$prompt" > "$run/stdout.log" 2> "$run/stderr.log"
    test -f hello.py
}

loop() { # DIR REPOSITORY RUNS JOBS CLAUDE [ARGUMENT…]
    dir="$1" repository="$2" runs="$3" jobs="$4"
    shift 4
    seq "$runs" | xargs -P "$jobs" -I RUN sh "$0" one "$dir" "$repository" RUN "$@"
}

"$@"
