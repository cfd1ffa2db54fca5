# Completion of aspupdate for bash 3.2 or later. It needs no other package:
#   source <(aspupdate completion bash)
_aspupdate() {
    local cur=${COMP_WORDS[COMP_CWORD]} word line i
    local -a words=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [[ $word == = ]] && continue # of --flag=value, which bash takes apart
        case $word in # as the shell would read it, but nothing is run
        \'*\' | \"*\") word=${word:1:${#word}-2} ;;
        \~/*) word=$HOME/${word#\~/} ;;
        *) word=${word//\\/} ;;
        esac
        words+=("$word")
    done
    case $cur in
    =) cur= ;;
    -*) words+=("$cur") ;;
    esac
    while IFS= read -r line; do
        line=${line%%:*} # what follows is a description
        [[ -n $line && $line == "${cur//\\/}"* ]] && COMPREPLY+=("${line// /\\ }")
    done < <("${COMP_WORDS[0]/#\~\//$HOME/}" ${words[@]+"${words[@]}"} --generate-shell-completion 2>/dev/null)
}
complete -o bashdefault -o default -F _aspupdate aspupdate
