#include "plan/completion.h"

#include "plan/option_table.h"
#include "plan/verb_table.h"

#include <string.h>

static const char *const shells[] = {
    [SHELL_BASH] = "bash",
    [SHELL_ZSH] = "zsh",
    [SHELL_FISH] = "fish",
};

#define SHELLS (sizeof shells / sizeof shells[0])

bool completion_shell(const char *name, enum plan_shell *shell)
{
    for (size_t i = 0; i < SHELLS; i++) {
        if (strcmp(shells[i], name) == 0) {
            *shell = (enum plan_shell)i;
            return true;
        }
    }
    return false;
}

/* ---- what can stand where ---- */

/* What an argument is, as far as a shell can help. */
enum what {
    WHAT_NOTHING, /* to be typed */
    WHAT_CHOICES,
    WHAT_FILE,
    WHAT_DIRECTORY,
    WHAT_COMMAND,
    WHAT_USER,
    WHAT_GROUP,
    WHAT_SIGNAL,
    WHAT_WORKERS,
    WHAT_SIGNAL_AND_WORKERS,
    WHAT_VERB,
    WHAT_SHELL,
    WHAT_OFF,
    WHAT_DASHES,
};

/* By what it is called in the help. */
static enum what what_of(const char *argument)
{
    static const struct {
        const char *argument;
        enum what what;
    } known[] = {
        {"FILE", WHAT_FILE},
        {"PATH", WHAT_FILE},
        {"DIR", WHAT_DIRECTORY},
        {"CMD", WHAT_COMMAND},
        {"USER[:GROUP]", WHAT_USER},
        {"GROUP", WHAT_GROUP},
        {"SIG", WHAT_SIGNAL},
        {"SIG|none", WHAT_SIGNAL},
        {"[NAME...]", WHAT_WORKERS},
        {"WORKER", WHAT_WORKERS},
        {"SIG NAME...", WHAT_SIGNAL_AND_WORKERS},
        {"[VERB]", WHAT_VERB},
        {"SHELL", WHAT_SHELL},
        {"[off]", WHAT_OFF},
        {"-- COMMAND [ARG...]", WHAT_DASHES},
    };
    for (size_t i = 0; argument != NULL && i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].argument, argument) == 0)
            return known[i].what;
    return WHAT_NOTHING;
}

static enum what what_of_option(const struct option *option)
{
    return option->choices != NULL ? WHAT_CHOICES : what_of(option->argument);
}

static void add_choices(struct text *text, const struct option *option)
{
    for (const struct option_choice *choice = option->choices; choice->name != NULL; choice++)
        text_add(text, "%s%s", choice == option->choices ? "" : " ", choice->name);
}

/* Within single quotes; `special` characters get a backslash. */
static void add_within_quotes(struct text *text, const char *words, const char *special,
                              const char *quote)
{
    for (; *words != '\0'; words++) {
        if (*words == '\'')
            text_add(text, "%s", quote);
        else
            text_add(text, strchr(special, *words) != NULL ? "\\%c" : "%c", *words);
    }
}

/* ---- bash ---- */

static const char bash_head[] =
    "# Completions of aiorun for bash; `aiorun completion bash` writes them.\n"
    "_aiorun()\n"
    "{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local i verb=${COMP_WORDS[1]} what= choices= options= socket=\n"
    "    COMPREPLY=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        [[ ${COMP_WORDS[i]} == --control ]] && socket=${COMP_WORDS[i+1]}\n"
    "        [[ ${COMP_WORDS[i]} == -- ]] || continue\n"
    "        if declare -F _command_offset >/dev/null; then\n"
    "            _command_offset $((i + 1))\n"
    "        elif ((COMP_CWORD == i + 1)); then\n"
    "            COMPREPLY=($(compgen -c -- \"$word\"))\n"
    "        else\n"
    "            COMPREPLY=($(compgen -f -- \"$word\"))\n"
    "        fi\n"
    "        return\n"
    "    done\n"
    "    # `--option=value` comes in three words.\n"
    "    if [[ $word == = ]]; then\n"
    "        word=\n"
    "    elif [[ $before == = ]]; then\n"
    "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    ((COMP_CWORD == 1)) && verb=\n"
    "    local first=workers\n"
    "    [[ $before == \"$verb\" || ${COMP_WORDS[COMP_CWORD-2]} == --control ]] && first=signal\n";

static const char bash_tail[] =
    "    [[ $word == -* ]] && what=options\n"
    "    case $what in\n"
    "    options) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
    "    choices) COMPREPLY=($(compgen -W \"$choices\" -- \"$word\")) ;;\n"
    "    file) compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
    "    directory) compopt -o filenames; COMPREPLY=($(compgen -d -- \"$word\")) ;;\n"
    "    command) COMPREPLY=($(compgen -c -- \"$word\")) ;;\n"
    "    user) COMPREPLY=($(compgen -u -- \"$word\")) ;;\n"
    "    group) COMPREPLY=($(compgen -g -- \"$word\")) ;;\n"
    "    signal) COMPREPLY=($(compgen -A signal -- \"$word\")) ;;\n"
    "    workers)\n"
    "        choices=$(\"${COMP_WORDS[0]}\" status ${socket:+--control \"$socket\"} --names "
    "2>/dev/null)\n"
    "        COMPREPLY=($(compgen -W \"$choices\" -- \"$word\"))\n"
    "        ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _aiorun aiorun\n";

#define SIGNALS "HUP INT QUIT TERM KILL USR1 USR2 CONT STOP WINCH"

/* Sets `what`, as the tail of the script reads it. */
static void add_bash_what(struct text *text, enum what what)
{
    static const char *const words[] = {
        [WHAT_NOTHING] = "what=nothing",
        [WHAT_CHOICES] = "what=choices",
        [WHAT_FILE] = "what=file",
        [WHAT_DIRECTORY] = "what=directory",
        [WHAT_COMMAND] = "what=command",
        [WHAT_USER] = "what=user",
        [WHAT_GROUP] = "what=group",
        [WHAT_SIGNAL] = "what=signal",
        [WHAT_WORKERS] = "what=workers",
        [WHAT_SIGNAL_AND_WORKERS] = "what=$first",
        [WHAT_VERB] = "what=choices choices=$verbs",
        [WHAT_SHELL] = "what=choices choices='bash zsh fish'",
        [WHAT_OFF] = "what=choices choices=off",
        [WHAT_DASHES] = "what=choices choices=--",
    };
    text_add(text, "%s", words[what]);
}

static void add_bash_verbs(struct text *text)
{
    text_add(text, "    local verbs='");
    for (size_t i = 0; i < verb_count; i++)
        text_add(text, "%s%s", i == 0 ? "" : " ", verb_table[i].name);
    text_add(text, "'\n    case $verb in\n");
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *verb = &verb_table[i];
        text_add(text, "    %s)\n        ", verb->name);
        add_bash_what(text, what_of(verb->arguments));
        text_add(text, "\n        options='--help");
        for (const struct verb_option *option = verb->options; option->name != NULL; option++)
            text_add(text, " --%s", option->name);
        text_add(text, "'\n        case $before in\n");
        for (const struct verb_option *option = verb->options; option->name != NULL; option++) {
            if (option->argument == NULL)
                continue;
            text_add(text, "        --%s) ", option->name);
            add_bash_what(text, what_of(option->argument));
            text_add(text, " ;;\n");
        }
        text_add(text, "        esac\n        ;;\n");
    }
}

static void add_bash(struct text *text)
{
    text_add(text, "%s", bash_head);
    add_bash_verbs(text);
    text_add(text, "    *)\n        what=choices choices='--'\n"
                   "        ((COMP_CWORD == 1)) && choices+=\" $verbs\"\n        options='--");
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        if (option->file_only)
            continue;
        text_add(text, " --%s", option->name);
        if (option->negatable)
            text_add(text, " --no-%s", option->name);
    }
    text_add(text, "'\n        case $before in\n");
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        if (option->file_only || !option_takes_argument(option))
            continue;
        if (option->letter != 0)
            text_add(text, "        -%c | --%s) ", option->letter, option->name);
        else
            text_add(text, "        --%s) ", option->name);
        add_bash_what(text, what_of_option(option));
        if (option->choices != NULL) {
            text_add(text, " choices='");
            add_choices(text, option);
            text_add(text, "'");
        }
        text_add(text, " ;;\n");
    }
    text_add(text, "        esac\n        ;;\n    esac\n%s", bash_tail);
}

/* ---- zsh ---- */

static const char zsh_head[] =
    "#compdef aiorun\n"
    "# Completions of aiorun for zsh; `aiorun completion zsh` writes them.\n"
    "_aiorun_workers() {\n"
    "    local -a names socket\n"
    "    local at=${words[(I)--control]}\n"
    "    (( at > 0 )) && socket=(--control ${words[at+1]})\n"
    "    names=(${(f)\"$(aiorun status $socket --names 2>/dev/null)\"})\n"
    "    compadd -a names\n"
    "}\n"
    "_aiorun_signals_and_workers() {\n"
    "    if [[ ${words[CURRENT-1]} == signal || ${words[CURRENT-2]} == --control ]]; then\n"
    "        compadd -- ${signals[2,-3]}\n"
    "    else\n"
    "        _aiorun_workers\n"
    "    fi\n"
    "}\n";

static const char *zsh_action(enum what what)
{
    static const char *const actions[] = {
        [WHAT_NOTHING] = " ",
        [WHAT_CHOICES] = " ",
        [WHAT_FILE] = "_files",
        [WHAT_DIRECTORY] = "_files -/",
        [WHAT_COMMAND] = "_command_names",
        [WHAT_USER] = "_users",
        [WHAT_GROUP] = "_groups",
        [WHAT_SIGNAL] = "compadd -- ${signals[2,-3]}",
        [WHAT_WORKERS] = "_aiorun_workers",
        [WHAT_SIGNAL_AND_WORKERS] = "_aiorun_signals_and_workers",
        [WHAT_VERB] = "_aiorun_verbs",
        [WHAT_SHELL] = "(bash zsh fish)",
        [WHAT_OFF] = "(off)",
        [WHAT_DASHES] = "(--)",
    };
    return actions[what];
}

/* An option that takes another one back: "no-forever", "the opposite of --forever". */
struct negation {
    char name[64], help[96];
};

static void negate(const struct option *option, struct negation *negation)
{
    struct text name = {.buffer = negation->name, .size = sizeof negation->name};
    struct text help = {.buffer = negation->help, .size = sizeof negation->help};
    text_add(&name, "no-%s", option->name);
    text_add(&help, "the opposite of --%s", option->name);
}

/* `'--name=[help]:ARGUMENT:action' \` */
static void add_zsh_option(struct text *text, const char *name, const char *argument,
                           const char *help, const char *choices, enum what what)
{
    text_add(text, "            '--%s%s[", name, argument != NULL ? "=" : "");
    add_within_quotes(text, help, "[]:\\", "'\\''");
    text_add(text, "]");
    if (argument != NULL) {
        text_add(text, ":");
        add_within_quotes(text, argument, "[]:\\", "'\\''");
        text_add(text, ":%s", choices != NULL ? choices : zsh_action(what));
    }
    text_add(text, "' \\\n");
}

static void add_zsh_verbs(struct text *text)
{
    text_add(text, "_aiorun_verbs() {\n    local -a verbs\n    verbs=(\n");
    for (size_t i = 0; i < verb_count; i++) {
        text_add(text, "        '%s:", verb_table[i].name);
        add_within_quotes(text, verb_table[i].help, "", "'\\''");
        text_add(text, "'\n");
    }
    text_add(text, "    )\n    _describe verb verbs\n}\n"
                   "_aiorun() {\n    local curcontext=$curcontext state\n"
                   "    local at=${words[(i)--]}\n"
                   "    if (( at < CURRENT )); then\n"
                   "        shift $at words\n        (( CURRENT -= at ))\n        _normal\n"
                   "        return\n    fi\n"
                   "    case ${words[2]} in\n");
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *verb = &verb_table[i];
        text_add(text,
                 "    %s)\n        if (( CURRENT > 2 )); then\n"
                 "        shift words\n        (( CURRENT-- ))\n        _arguments \\\n",
                 verb->name);
        add_zsh_option(text, "help", NULL, "show its help", NULL, WHAT_NOTHING);
        for (const struct verb_option *option = verb->options; option->name != NULL; option++)
            add_zsh_option(text, option->name, option->argument, option->help, NULL,
                           what_of(option->argument));
        if (*verb->arguments != '\0') {
            text_add(text, "            '*:");
            add_within_quotes(text, verb->arguments, "[]:\\", "'\\''");
            text_add(text, ":%s'\n", zsh_action(what_of(verb->arguments)));
        } else {
            text_add(text, "            ':: :'\n");
        }
        text_add(text, "        return\n        fi ;;\n");
    }
    text_add(text, "    esac\n");
}

static void add_zsh(struct text *text)
{
    text_add(text, "%s", zsh_head);
    add_zsh_verbs(text);
    text_add(text, "    _arguments \\\n");
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        char choices[256], argument[256];
        struct text words = {.buffer = choices, .size = sizeof choices};
        struct text name = {.buffer = argument, .size = sizeof argument};
        bool takes = option_takes_argument(option);
        struct negation negation;
        if (option->file_only)
            continue;
        if (option->choices != NULL) {
            text_add(&words, "(");
            add_choices(&words, option);
            text_add(&words, ")");
        }
        option_add_argument(option, &name);
        add_zsh_option(text, option->name, takes ? argument : NULL, option->help,
                       option->choices != NULL ? choices : NULL, what_of_option(option));
        if (!option->negatable)
            continue;
        negate(option, &negation);
        add_zsh_option(text, negation.name, NULL, negation.help, NULL, WHAT_NOTHING);
    }
    text_add(text,
             "            '1: :_aiorun_verbs'\n}\n"
             "[[ ${funcstack[1]} == _aiorun ]] && _aiorun \"$@\" || compdef _aiorun aiorun\n");
}

/* ---- fish ---- */

static const char fish_head[] =
    "# Completions of aiorun for fish; `aiorun completion fish` writes them.\n"
    "function __aiorun_workers\n"
    "    set -l words (commandline -opc)\n"
    "    set -l at (contains -i -- --control $words)\n"
    "    if test -n \"$at\"; and test (count $words) -gt $at\n"
    "        aiorun status --control $words[(math $at + 1)] --names 2>/dev/null\n"
    "    else\n"
    "        aiorun status --names 2>/dev/null\n"
    "    end\n"
    "end\n"
    "function __aiorun_verb\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -gt 1; and contains -- $words[2] $argv\n"
    "end\n"
    "function __aiorun_command\n"
    "    contains -- -- (commandline -opc)\n"
    "end\n"
    "complete -c aiorun -f\n"
    "complete -c aiorun -n __aiorun_command -a '(__fish_complete_subcommand)'\n";

/* How the argument is completed; `-x`: with nothing else. */
static const char *fish_action(enum what what)
{
    static const char *const actions[] = {
        [WHAT_NOTHING] = "-x",
        [WHAT_CHOICES] = "-x",
        [WHAT_FILE] = "-r -F",
        [WHAT_DIRECTORY] = "-x -a '(__fish_complete_directories)'",
        [WHAT_COMMAND] = "-x -a '(__fish_complete_command)'",
        [WHAT_USER] = "-x -a '(__fish_complete_users)'",
        [WHAT_GROUP] = "-x -a '(__fish_complete_groups)'",
        [WHAT_SIGNAL] = ("-x -a '" SIGNALS "'"),
        [WHAT_WORKERS] = "-x -a '(__aiorun_workers)'",
        [WHAT_SIGNAL_AND_WORKERS] = ("-x -a '" SIGNALS " (__aiorun_workers)'"),
        [WHAT_VERB] = "-x",
        [WHAT_SHELL] = "-x -a 'bash zsh fish'",
        [WHAT_OFF] = "-x -a off",
        [WHAT_DASHES] = "-x -a --",
    };
    return actions[what];
}

static void add_fish_help(struct text *text, const char *help)
{
    text_add(text, " -d '");
    add_within_quotes(text, help, "\\", "\\'");
    text_add(text, "'\n");
}

static void add_fish_verbs(struct text *text)
{
    text_add(text, "set -g __aiorun_verbs");
    for (size_t i = 0; i < verb_count; i++)
        text_add(text, " %s", verb_table[i].name);
    text_add(text, "\n");
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *verb = &verb_table[i];
        enum what what = what_of(verb->arguments);
        text_add(text, "complete -c aiorun -n 'test (count (commandline -opc)) -eq 1' -a %s",
                 verb->name);
        add_fish_help(text, verb->help);
        for (const struct verb_option *option = verb->options; option->name != NULL; option++) {
            text_add(text, "complete -c aiorun -n '__aiorun_verb %s' -l %s%s%s", verb->name,
                     option->name, option->argument != NULL ? " " : "",
                     option->argument != NULL ? fish_action(what_of(option->argument)) : "");
            add_fish_help(text, option->help);
        }
        if (what == WHAT_VERB)
            text_add(text, "complete -c aiorun -n '__aiorun_verb %s' -x -a '$__aiorun_verbs'\n",
                     verb->name);
        else if (what != WHAT_NOTHING)
            text_add(text, "complete -c aiorun -n '__aiorun_verb %s' %s\n", verb->name,
                     fish_action(what));
    }
}

static void add_fish(struct text *text)
{
    text_add(text, "%s", fish_head);
    add_fish_verbs(text);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        if (option->file_only)
            continue;
        text_add(text, "complete -c aiorun -n 'not __aiorun_verb $__aiorun_verbs' -l %s",
                 option->name);
        if (option->letter != 0)
            text_add(text, " -s %c", option->letter);
        if (option->choices != NULL) {
            text_add(text, " -x -a '");
            add_choices(text, option);
            text_add(text, "'");
        } else if (option_takes_argument(option)) {
            text_add(text, " %s", fish_action(what_of_option(option)));
        }
        add_fish_help(text, option->help);
        struct negation negation;
        if (!option->negatable)
            continue;
        negate(option, &negation);
        text_add(text, "complete -c aiorun -n 'not __aiorun_verb $__aiorun_verbs' -l %s",
                 negation.name);
        add_fish_help(text, negation.help);
    }
}

size_t completion_write(enum plan_shell shell, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    switch (shell) {
    case SHELL_BASH:
        add_bash(&text);
        break;
    case SHELL_ZSH:
        add_zsh(&text);
        break;
    case SHELL_FISH:
        add_fish(&text);
        break;
    }
    return text.length;
}
