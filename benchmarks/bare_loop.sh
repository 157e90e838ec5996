#!/bin/sh
# What a careful person would write without the plugin: for every run an isolated workspace (a
# repository of its own that borrows the objects, and a worktree on it), the agent, the check,
# and the patch through a temporary index. The counterpart of an experiment with command agents.
#
#   bare_loop.sh prepare DIR SOURCE SUBTESTS   a base repository, and one on it for each subtest
#   bare_loop.sh loop DIR RUNS JOBS CHECK AGENT PROMPT   RUNS runs of every subtest, JOBS at a time
#   bare_loop.sh one DIR CHECK AGENT PROMPT SUBTEST RUN   one run; CHECK and AGENT: shell commands
set -eu
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=bare GIT_AUTHOR_EMAIL=bare@localhost
export GIT_COMMITTER_NAME=bare GIT_COMMITTER_EMAIL=bare@localhost

private() { # REPOSITORY LENDER: a repository of its own, at the lender's commit
    git init -q --bare --template= --initial-branch=main "$1"
    mkdir -p "$1/objects/info"
    echo "$2/objects" > "$1/objects/info/alternates"
    if [ -f "$2/objects/info/alternates" ]; then
        cat "$2/objects/info/alternates" >> "$1/objects/info/alternates"
    fi
    cp "$2/refs/heads/main" "$1/refs/heads/main"
}

prepare() { # DIR SOURCE SUBTESTS
    mkdir -p "$1"
    git init -q --bare --template= --initial-branch=main "$1/base.git"
    git --git-dir="$1/base.git" --work-tree="$2" add -A
    git --git-dir="$1/base.git" --work-tree="$2" commit -q -m "The task's files"
    for number in $(seq "$3"); do
        setup="$1/$number/setup.git" files="$1/$number/files"
        mkdir -p "$files"
        echo "# Subtest $number" > "$files/CLAUDE.md"
        private "$setup" "$1/base.git"
        git --git-dir="$setup" read-tree main
        git --git-dir="$setup" --work-tree="$files" add CLAUDE.md
        git --git-dir="$setup" --work-tree="$files" commit -q -m "Set up the agent"
    done
}

one() { # DIR CHECK AGENT PROMPT SUBTEST RUN
    run="$1/$5/run_$6"
    mkdir -p "$run/home"
    private "$run/workspace.git" "$1/$5/setup.git"
    git --git-dir="$run/workspace.git" worktree add -q "$run/workspace" main
    cp "$run/workspace.git/worktrees/workspace/index" "$run/index"
    cd "$run/workspace"
    printf '%s\n' "$4" | env -i PATH="$PATH" HOME="$run/home" sh -c "$3" \
        > "$run/stdout.log" 2> "$run/stderr.log"
    if sh -c "$2"; then echo passed; else echo failed; fi > "$run/verdict"
    export GIT_INDEX_FILE="$run/index" GIT_DIR="$run/workspace.git" GIT_WORK_TREE="$PWD"
    git add -A
    git diff --cached --binary main > "$run/changes.patch"
}

loop() { # DIR RUNS JOBS CHECK AGENT PROMPT
    for setup in "$1"/*/setup.git; do
        subtest=$(basename "${setup%/setup.git}")
        for run in $(seq "$2"); do echo "$subtest $run"; done
    done | xargs -P "$3" -L 1 sh "$0" one "$1" "$4" "$5" "$6"
}

"$@"
