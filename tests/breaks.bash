# For tests of connections that end inside a reply, as 50 and 58 say. `load breaks` after helper.

# Three messages, one of them with dots that are stuffed; and the first alone.
write_messages() {
	mkdir all first
	printf 'Subject: one\n\nfirst\n' >all/1.eml
	printf 'Subject: two\n\n.dot\n..\nmiddle of a line\n.\nend\n' >all/2.eml
	printf 'Subject: three\n\nthird\n' >all/3.eml
	cp all/1.eml first
}

setup() {
	default_setup
	DEST='maildir:~/Maildir' SERVER_OPTIONS=() AT_ONCE=2 COUNT=39
	AUTH='auth = "USER"' EXTRA='' BEFORE_LOGIN=''
	write_messages
}

# RETR 2's whole reply in pieces, for scripts.
STATUS='+OK\r\n'
BODY='Subject: two\r\n\r\n..dot\r\n...\r\nmiddle of a line\r\n..\r\nend\r\n'

# What a client says to a server in lock step, all of it; a break leaves its beginning.
COMMANDS='CAPA
USER jane
PASS secret
CAPA again
UIDL
LIST
RETR 1
RETR 2
RETR 3
DELE 1
DELE 2
DELE 3
QUIT'

# The places: name | script of the first session, @ for the break | the last command | the message.
# A message with "silent" at its end has another word for silence than the login has, a greeting with "~" the usual one.
PLACES="
greeting, nothing|@||'127.0.0.1': waiting for the greeting
greeting, a part|raw \"+OK he\"; @||'127.0.0.1': waiting for the greeting~
greeting, before its LF|raw \"+OK hello\\r\"; @||'127.0.0.1': waiting for the greeting~
USER, nothing|on USER @|USER jane|waiting for the reply to USER
USER, a part|on USER raw \"+O\"; @|USER jane|waiting for the reply to USER
PASS, nothing|on PASS @|PASS secret|waiting for the reply to PASS
PASS, before its LF|on PASS raw \"+OK\\r\"; @|PASS secret|waiting for the reply to PASS
second CAPA, nothing|on CAPA @|CAPA again|waiting for the reply to CAPA
second CAPA, in the list|on CAPA raw \"+OK\\r\\nTOP\\r\\nUI\"; @|CAPA again|in the middle of the reply to CAPA
second CAPA, before the LF of its end|on CAPA raw \"+OK\\r\\nUIDL\\r\\n.\\r\"; @|CAPA again|in the middle of the reply to CAPA
UIDL, nothing|on UIDL @|UIDL|waiting for the reply to UIDL
UIDL, in the status|on UIDL raw \"+O\"; @|UIDL|waiting for the reply to UIDL
UIDL, behind the status|on UIDL send +OK; @|UIDL|in the middle of the reply to UIDL
UIDL, in a row|on UIDL raw \"+OK\\r\\n1 1.eml\\r\\n2 2\"; @|UIDL|in the middle of the reply to UIDL
UIDL, before the end|on UIDL raw \"+OK\\r\\n1 1.eml\\r\\n2 2.eml\\r\\n3 3.eml\\r\\n\"; @|UIDL|in the middle of the reply to UIDL
UIDL, behind the dot|on UIDL raw \"+OK\\r\\n1 1.eml\\r\\n2 2.eml\\r\\n3 3.eml\\r\\n.\"; @|UIDL|in the middle of the reply to UIDL
UIDL, before the LF of its end|on UIDL raw \"+OK\\r\\n1 1.eml\\r\\n2 2.eml\\r\\n3 3.eml\\r\\n.\\r\"; @|UIDL|in the middle of the reply to UIDL
LIST, nothing|on LIST @|LIST|waiting for the reply to LIST
LIST, behind the status|on LIST send +OK; @|LIST|in the middle of the reply to LIST
LIST, in a row|on LIST raw \"+OK\\r\\n1 23\\r\\n2 5\"; @|LIST|in the middle of the reply to LIST
LIST, before the LF of its end|on LIST raw \"+OK\\r\\n1 23\\r\\n2 57\\r\\n3 25\\r\\n.\\r\"; @|LIST|in the middle of the reply to LIST
RETR, nothing|on RETR 2 @|RETR 2|silent
RETR, in the status|on RETR 2 raw \"+\"; @|RETR 2|silent
RETR, before the LF of the status|on RETR 2 raw \"+OK\\r\"; @|RETR 2|silent
RETR, behind the status|on RETR 2 raw \"$STATUS\"; @|RETR 2|in the middle of message 2: silent
RETR, at the first octet|on RETR 2 raw \"${STATUS}S\"; @|RETR 2|in the middle of message 2: silent
RETR, in a line|on RETR 2 raw \"${STATUS}${BODY%%of a line*}\"; @|RETR 2|in the middle of message 2: silent
RETR, before a stuffed dot|on RETR 2 raw \"${STATUS}Subject: two\\r\\n\\r\\n\"; @|RETR 2|in the middle of message 2: silent
RETR, within a stuffed dot|on RETR 2 raw \"${STATUS}Subject: two\\r\\n\\r\\n.\"; @|RETR 2|in the middle of message 2: silent
RETR, behind a stuffed dot and CR|on RETR 2 raw \"${STATUS}Subject: two\\r\\n\\r\\n..\\r\"; @|RETR 2|in the middle of message 2: silent
RETR, between CR and LF of a line|on RETR 2 raw \"${STATUS}Subject: two\\r\"; @|RETR 2|in the middle of message 2: silent
RETR, before the end|on RETR 2 raw \"${STATUS}${BODY}\"; @|RETR 2|in the middle of message 2: silent
RETR, behind the dot of the end|on RETR 2 raw \"${STATUS}${BODY}.\"; @|RETR 2|in the middle of message 2: silent
RETR, before the LF of its end|on RETR 2 raw \"${STATUS}${BODY}.\\r\"; @|RETR 2|in the middle of message 2: silent
DELE, nothing|on DELE 2 @|DELE 2|silent
DELE, in the status|on DELE 2 raw \"+O\"; @|DELE 2|silent
QUIT, nothing|on QUIT @|QUIT|deletions are not confirmed: waiting for the reply to QUIT
QUIT, in the status|on QUIT raw \"+O\"; @|QUIT|deletions are not confirmed: waiting for the reply to QUIT
QUIT, before its LF|on QUIT raw \"+OK bye\\r\"; @|QUIT|deletions are not confirmed: waiting for the reply to QUIT
"

# What a break is called: ACTION and the beginning of the message.
reason() {
	case $1 in
	drop | bye) [ "$SERVER_TLS" = implicit ] && [ "$1" = drop ] && echo "$CUT_TLS" || echo 'the server closed the connection' ;;
	reset) echo 'connection lost: Connection reset by peer' ;;
	stall)
		case $2 in
		*silent) echo 'the server has been silent for 1 second' ;;
		*greeting) echo 'the server says nothing (if this is its port for TLS, use tls = "implicit")' ;;
		*) echo 'no answer for 1 second' ;;
		esac
		;;
	esac
}

# What is said of a TLS stream that ends without its goodbye.
CUT_TLS='the server closed the connection without TLS close_notify'

# wanted_message ACTION TEXT
wanted_message() {
	local text=$2

	text=${text%silent}
	text=${text%: }
	text=${text%\~}
	[[ $text != *'message 2' ]] || echo 'pophaul: box: message 2 (2.eml): it did not come to its end'
	echo "pophaul: box: ${text:+$text: }$(reason "$1" "$2")"
}

# one_session: the account polled; its words and status in err and `status`.
one_session() {
	status=0
	pophaul >out 2>err || status=$?
}

# arrived FOLDER: the destination has these messages, each once, octet by octet, and no part of another.
arrived() {
	case $DEST in
	maildir*)
		assert_maildir_has "../$1" Maildir || return
		assert_equal "$(count_files Maildir)" "$(count_files "../$1")"
		;;
	mbox*)
		for file in "../$1"/*; do
			cat "$file" && echo
		done >wanted
		sed '/^From /d' mbox 2>/dev/null >got || :
		cmp wanted got
		;;
	pipe*)
		cat "../$1"/* >wanted
		touch arrived
		cmp wanted arrived
		;;
	esac
}

none() {
	mkdir -p ../none
	arrived none
}

# The beginning of what a client says, up to this command. Nothing before the greeting.
beginning() {
	[ -z "$1" ] || sed "/^$1\$/q" <<<"$COMMANDS" | sed 's/ again//'
}

# The rest, told by the last command of the broken session: RETR and DELE of the next one.
rest_of() {
	case $1 in
	RETR*) echo 'RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT' ;;
	DELE*) echo 'DELE 1 DELE 2 DELE 3 QUIT' ;;
	*) echo 'RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT' ;;
	esac
}

# broken ACTION SCRIPT LAST TEXT: the session of this place, and the ones after it.
broken() {
	local action=$1 script=$2 last=$3 text=$4

	[[ -n $BEFORE_LOGIN || $script != 'on CAPA'* ]] || script="once on CAPA normal"$'\n'"session 1 $script"
	cp -r ../all folder
	printf 'folder folder\ncapa -PIPELINING\n%s\nsession 1 %s\n' "$EXTRA" "${script//@/$action}" >script
	start_fakepop "${SERVER_OPTIONS[@]}" --script script || return
	account box "$AUTH" 'timeout = "1s"' 'keep = "never"' "deliver = \"$DEST\"" | write_config
	one_session
	assert_equal "$status $(cat out err)" "69 $(wanted_message "$action" "$text")" || return
	assert_transcript <<<"$(beginning "$last")" || return
	assert_equal "$(count_sessions)" 1 || return
	case $last in
	RETR*) arrived first || return ;;
	DELE* | QUIT) arrived all || return ;;
	*) none || return ;;
	esac
	one_session
	assert_equal "$status $(cat out err)" '0 ' || return
	assert_equal "$(transcript 2 | sed -n '/^[RDQ]/p' | paste -sd ' ')" "$(rest_of "$last")" || return
	assert_equal "$(transcript_events 2 | grep -c deleted)" 3 || return
	arrived all
}

# In a folder and a process of its own, with a state of its own; what went wrong is left in DIR/failed.
broken_apart() {
	local dir=$1 name=$2

	shift 2
	(
		mkdir "$dir" && cd "$dir" || exit
		BATS_TEST_TMPDIR=$PWD STATE=$PWD/state SERVER_PIDS=()
		export HOME=$PWD XDG_CONFIG_HOME=$PWD/config
		CONF=$XDG_CONFIG_HOME/pophaul/pophaul.conf
		mkdir -p "${CONF%/*}"
		broken "$@" >log 2>&1 || { echo "--- $1: $name" && cat log; } >failed
		stop_servers
		[ -e failed ] || rm -rf "$dir"
	) </dev/null >/dev/null 2>&1 3>&-
}

# all_places ACTION PATTERN: the break at each place whose name matches, AT_ONCE of them beside each other.
all_places() {
	local action=$1 pattern=$2 n=0 name script last text running=()

	while IFS='|' read -r name script last text; do
		# shellcheck disable=SC2053 # a pattern
		[[ -n $name && $name == $pattern ]] || continue
		n=$((n + 1))
		broken_apart "$HOME/$action-$n" "$name" "$action" "$script" "$last" "$text" &
		running+=("$!")
		[ "${#running[@]}" -lt "$AT_ONCE" ] || { wait "${running[0]}" && running=("${running[@]:1}"); } || :
	done <<<"$PLACES"
	wait "${running[@]}" || :
	assert_equal "$n" "$COUNT"
	assert_equal "$(cat "$HOME/$action"-*/failed 2>/dev/null)" ''
}
