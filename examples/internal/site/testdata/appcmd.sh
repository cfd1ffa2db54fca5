#!/bin/sh
# Plays IIS's program appcmd: the rules are a directory with one file an address, and a file
# named closed; a pool is a directory. A file named fail-N makes its N-th command fail before it
# does anything.
cd "$(dirname "$0")"
echo "$@" >> asked
[ -e "fail-$(wc -l < asked)" ] && { echo "ERROR ( message:Access denied. )"; exit 5; }
pool=${3#/apppool.name:}
case "$1 $2" in
"list apppool")
	case "$3 $4" in
	"/text:name ") ls pools | grep . || exit 1;;
	*" /text:state") [ ! -e "pools/$3/ending" ] || { rm "pools/$3/ending"; echo Stopping; exit; }; cat "pools/$3/state";;
	*" /text:autoStart") cat "pools/$3/autoStart";;
	*) exit 1;;
	esac; exit;;
"list wp") [ ! -e "pools/$pool/process" ] || { rm -f "pools/$pool/process" 2>/dev/null; echo 4711; exit; }; exit 1;;
"set apppool") echo "${4#/autoStart:}" > "pools/$pool/autoStart"; exit;;
"start apppool") grep -q Stopped "pools/$pool/state" || { echo "ERROR ( message:already started )"; exit 1; }
	echo Started > "pools/$pool/state"; exit;;
"stop apppool") grep -q Started "pools/$pool/state" || { echo "ERROR ( message:already stopped )"; exit 1; }
	echo Stopped > "pools/$pool/state"; touch "pools/$pool/ending" "pools/$pool/process"; exit;;
esac
[ "$2 $3 $4" = "config asp /section:system.webServer/security/ipSecurity" ] || { echo "ERROR ( message:unknown )"; exit 1; }
address=$(echo "$5" | sed "s/.*ipAddress='\([^']*\)'.*/\1/")
case "$1 $5" in
"list ")
	echo '<system.webServer>'
	echo '  <security>'
	if [ -e closed ]; then echo '    <ipSecurity allowUnlisted="false">'; else echo '    <ipSecurity>'; fi
	for a in listed/*; do [ ! -e "$a" ] || echo "      <add $(cat "$a") />"; done
	echo '    </ipSecurity>'
	echo '  </security>'
	echo '</system.webServer>';;
"set /allowUnlisted:false") touch closed;;
"set /allowUnlisted:true") rm -f closed;;
"set /+["*) [ ! -e "listed/$address" ] || { echo "ERROR ( message:duplicate )"; exit 183; }
	echo "ipAddress=\"$address\" allowed=\"true\"" > "listed/$address";;
"set /-["*) rm "listed/$address";;
*) exit 1;;
esac
[ "$1" = list ] || [ "$6" = /commit:apphost ]
