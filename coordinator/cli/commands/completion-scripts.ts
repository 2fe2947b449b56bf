// Completion of the command line as scripts for bash, zsh and fish. A script holds the whole table of commands and
// options, so that a tab starts no program; ids alone are asked of the fleet, by a hidden command. bash and zsh share
// the part that finds out what is asked for, in the language that both have.

import type { Node, Values } from './completion-tree.ts';

/** The shells that there is a script for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
/** One of these shells. */
export type Shell = (typeof SHELLS)[number];

/** The command that the scripts ask for ids. */
export const IDS_COMMAND = 'completion-ids';

/** Options that say which fleet is asked. */
const ADDRESS = ['--dir', '--coordinator', '--token', '--token-file', '--tls-ca-file', '--tls-server-name'];

/** The script of a shell. */
export function completionScript(shell: Shell, nodes: readonly Node[]): string {
  switch (shell) {
    case 'bash':
      return `${HEADER('bash', '~/.bashrc')}${sharedPart(nodes)}${BASH}`;
    case 'zsh':
      return `#compdef pocketfleet\n${HEADER('zsh', '~/.zshrc')}${sharedPart(nodes)}${ZSH}`;
    case 'fish':
      return `${HEADER('fish', '~/.config/fish/config.fish')}${fishPart(nodes)}`;
  }
}

const HEADER = (shell: Shell, file: string): string =>
  shell === 'fish'
    ? `# Completion of pocketfleet. In ${file}:  pocketfleet completion fish | source\n`
    : `# Completion of pocketfleet. In ${file}:  source <(pocketfleet completion ${shell})\n`;

const quoted = (words: readonly string[]): string => `'${words.join(' ')}'`;
const commandPaths = (nodes: readonly Node[]): string[] =>
  nodes.map(({ path }) => path).filter((path) => path !== '');

/** Each option with a value as `path --option`. */
function optionValues(nodes: readonly Node[]): { readonly key: string; readonly value: Values }[] {
  return nodes.flatMap(({ path, options }) =>
    options.flatMap(({ names, value }) =>
      value === undefined ? [] : names.map((name) => ({ key: `${path} ${name}`.trim(), value })),
    ),
  );
}

/** Options with the same values stand in one case. */
function groupedValues(nodes: readonly Node[]): { readonly keys: string[]; readonly value: Values }[] {
  const groups = new Map<string, { keys: string[]; value: Values }>();
  for (const { key, value } of optionValues(nodes)) {
    const id = JSON.stringify(value);
    const group = groups.get(id) ?? { keys: [], value };
    group.keys.push(key);
    groups.set(id, group);
  }
  return [...groups.values()];
}

function sharedPart(nodes: readonly Node[]): string {
  const assigned = ({ words, isFile, nouns }: Values): string =>
    `_pf_words=${quoted(words)} _pf_file=${isFile ? 1 : 0} _pf_nouns=${quoted(nouns)}`;
  const pattern = (keys: readonly string[]) => keys.map((key) => `'${key}'`).join('|');
  const values = groupedValues(nodes).map(({ keys, value }) => `    ${pattern(keys)}) ${assigned(value)} ;;`);
  const offers = nodes.map(
    ({ path, commands, options, argument }) =>
      `    '${path}') ${assigned({ ...argument, words: [...commands, ...argument.words] })} _pf_options=${quoted(options.flatMap(({ names }) => names))} ;;`,
  );
  return `# What may follow these words: _pf_words, _pf_options, _pf_file, _pf_nouns; _pf_address says which fleet is asked.
_pf_offer() {
  local at='' word before=''
  _pf_words='' _pf_options='' _pf_file=0 _pf_nouns='' _pf_address=()
  for word in "$@"; do
    if [[ -n $before ]]; then
      case "$before" in ${ADDRESS.join('|')}) _pf_address+=("$before" "$word") ;; esac
      before=''
    elif [[ $word == -* ]]; then
      # Options of the address may stand before the command too.
      case "$word" in ${ADDRESS.join('|')}) before="$word" ;; esac
      case "\${at:+$at }$word" in
    ${pattern(optionValues(nodes).map(({ key }) => key))}) before="$word" ;;
      esac
    else
      case "\${at:+$at }$word" in
    ${pattern(commandPaths(nodes))}) at="\${at:+$at }$word" ;;
      esac
    fi
  done
  if [[ -n $before ]]; then
    case "\${at:+$at }$before" in
${values.join('\n')}
    *) case "$before" in --dir|--token-file|--tls-ca-file) _pf_file=1 ;; esac ;;
    esac
    return
  fi
  case "$at" in
${offers.join('\n')}
  esac
}

_pf_ids() {
  local nouns=()
  # Both shells split the output of a command, and only bash a variable.
  nouns=($(printf '%s' "$_pf_nouns"))
  "\${_pf_program:-pocketfleet}" ${IDS_COMMAND} "\${nouns[@]}" "\${_pf_address[@]}" 2>/dev/null
}
`;
}

const BASH = `
_pocketfleet() {
  local _pf_program="\${COMP_WORDS[0]}" cur="\${COMP_WORDS[COMP_CWORD]}" _pf_words _pf_options _pf_file _pf_nouns _pf_address
  _pf_offer "\${COMP_WORDS[@]:1:COMP_CWORD-1}"
  COMPREPLY=()
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$_pf_options" -- "$cur"))
    return
  fi
  [[ -n $_pf_nouns ]] && _pf_words="$_pf_words $(_pf_ids)"
  COMPREPLY=($(compgen -W "$_pf_words" -- "$cur"))
  if ((_pf_file)); then
    local IFS=$'\\n'
    COMPREPLY+=($(compgen -f -- "$cur"))
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _pocketfleet pocketfleet
`;

const ZSH = `
_pocketfleet() {
  local _pf_program="\${words[1]}" _pf_words _pf_options _pf_file _pf_nouns
  local -a _pf_address
  _pf_offer "\${(@)words[2,CURRENT-1]}"
  if [[ \${words[CURRENT]} == -* ]]; then
    compadd -- \${=_pf_options}
    return
  fi
  [[ -n $_pf_nouns ]] && _pf_words="$_pf_words $(_pf_ids)"
  compadd -- \${=_pf_words}
  ((_pf_file)) && _files
  return 0
}
# Sourced, and not found in $fpath, where the file is the function itself.
if [[ $funcstack[1] == _pocketfleet ]]; then _pocketfleet "$@"; elif (($+functions[compdef])); then compdef _pocketfleet pocketfleet; fi
`;

function fishPart(nodes: readonly Node[]): string {
  const pattern = (keys: readonly string[]) => keys.map((key) => `'${key}'`).join(' ');
  const offer = ({ words, isFile, nouns }: Values): string =>
    [
      ...(words.length > 0 ? [`printf '%s\\n' ${words.join(' ')}`] : []),
      ...(nouns.length > 0
        ? [`command $program ${IDS_COMMAND} ${nouns.join(' ')} $address 2>/dev/null | string split -n ' '`]
        : []),
      ...(isFile ? ['__fish_complete_path "$current"'] : []),
    ].join('; ') || 'true';
  const values = groupedValues(nodes).map(
    ({ keys, value }) => `            case ${pattern(keys)}\n                ${offer(value)}`,
  );
  const offers = nodes.map(({ path, commands, options, argument }) => {
    const names = options.flatMap((option) => option.names).join(' ');
    const words = offer({ ...argument, words: [...commands, ...argument.words] });
    return `        case '${path}'\n            if string match -q -- '-*' "$current"\n                printf '%s\\n' ${names}\n            else\n                ${words}\n            end`;
  });
  return `function __pocketfleet_offer
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l program $typed[1]
    set -l at ''
    set -l before ''
    set -l address
    for word in $typed[2..-1]
        if test -n "$before"
            contains -- $before ${ADDRESS.join(' ')}; and set -a address $before $word
            set before ''
        else if string match -q -- '-*' $word
            contains -- $word ${ADDRESS.join(' ')}; and set before $word
            switch (string trim "$at $word")
                case ${pattern(optionValues(nodes).map(({ key }) => key))}
                    set before $word
            end
        else
            switch (string trim "$at $word")
                case ${pattern(commandPaths(nodes))}
                    set at (string trim "$at $word")
            end
        end
    end
    if test -n "$before"
        switch (string trim "$at $before")
${values.join('\n')}
            case '*'
                contains -- $before --dir --token-file --tls-ca-file; and __fish_complete_path "$current"
        end
        return
    end
    switch "$at"
${offers.join('\n')}
    end
end
complete -c pocketfleet -f -a '(__pocketfleet_offer)'
`;
}
