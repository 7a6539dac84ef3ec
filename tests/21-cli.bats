#!/usr/bin/env bats
# The command line, one run at a time: options, POP URLs, --list and --dry-run, what is shown where,
# and the exit statuses.

load helper

# on_terminal ANSWER COMMAND…: with a terminal of its own as standard input, output and error; the answer is
# typed when the terminal's last words are a question, "" nothing. Prints what the terminal showed: what
# stands in a line at its end, with TERMINAL_RAW all.
on_terminal() {
	timeout -k 5 60 python3 -c '
import os, pty, sys
answer, argv = sys.argv[1], sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
shown = b""
while True:
    try:
        octets = os.read(fd, 65536)
    except OSError:
        break
    if not octets:
        break
    shown += octets
    if answer and shown.endswith(b": "):
        os.write(fd, answer.encode())
        answer = ""
status = os.waitpid(pid, 0)[1]
shown = shown.replace(b"\r\n", b"\n")
if "TERMINAL_RAW" not in os.environ:
    shown = b"\n".join(line.split(b"\r\x1b[K")[-1] for line in shown.split(b"\n"))
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status))' "$@"
}

# as_json: what is on standard input, a line an object, through a Python expression with `o`, the list of them.
as_json() {
	python3 -c 'import json, sys
o = [json.loads(line) for line in sys.stdin]
print(eval(sys.argv[1]))' "$1"
}

# usage TEXT ARGUMENT…: the command line is refused with this text.
usage() {
	local text=$1

	shift
	run --separate-stderr pophaul "$@"
	assert_status 64 || return
	assert_equal "$output" '' || return
	assert_equal "${stderr%%$'\n'*}" "pophaul: $text" || return
}

# ---- help, version, usage ----

@test "--help and -h print every option, and nothing else is done" {
	run --separate-stderr pophaul --help
	assert_status 0
	assert_equal "$stderr" ''
	assert_output_matches '^usage: pophaul '
	[ "$(grep -cE '^(-[a-zA-Z], |    )--[a-z-]+' <<<"$output")" -eq 20 ]
	help=$output
	run pophaul -h
	assert_output_is "$help"
	run pophaul -l -h -c /nonexistent
	assert_status 0
	assert_output_is "$help"
	# It fits the narrowest terminal.
	[ "$(wc -L <<<"$help")" -le 80 ]
}

@test "--version and -V print the version of the Makefile" {
	run pophaul --version
	assert_status 0
	assert_output_matches '^pophaul [0-9]+\.[0-9]+'
	version=$output
	run pophaul -V
	assert_output_is "$version"
	run pophaul -t --version
	assert_output_is "$version"
}

@test "the options of pophaul(1) are those of --help, with the same short forms and arguments" {
	run timeout -k 5 30 python3 - "$ROOT/man/pophaul.1" "$(pophaul --help)" <<-'EOF'
		import re, sys
		manual = open(sys.argv[1]).read().split(".Ss Options")[1].split("\n.Sh")[0]
		said = set()
		for line in re.findall(r"(?m)^\.It (Fl .*)$", manual):
		    forms = [form.split() for form in line.split(" , ")]
		    names = tuple("-" + form[1] for form in forms)
		    takes = {len(form) > 2 for form in forms}
		    assert len(takes) == 1, line
		    said.add((names, takes.pop()))
		printed = set()
		for short, long, argument in re.findall(r"(?m)^(?:(-\w), |    )(--[a-z-]+)( [A-Z]+)?", sys.argv[2]):
		    printed.add(((short, long) if short else (long,), argument != ""))
		assert len(printed) == 20, printed
		assert said == printed, said ^ printed
	EOF
	assert_output_is ''
}

@test "a command line that is wrong is told with status 64" {
	usage "unknown option '--frobnicate'" --frobnicate
	usage "unknown option '--lists', did you mean '--list'?" --lists
	usage "unknown option '-z'" -z
	usage "unknown option '-z'" -vz
	usage '--list takes no argument' --list=x
	usage '--config needs its argument: FILE' -c
	usage '--config needs its argument: FILE' --config
	usage '--keep needs its argument: AGE' --keep
	usage '--list, --dry-run, --check-config and --server-info exclude each other' -l -n
	usage '--list, --dry-run, --check-config and --server-info exclude each other' --check-config --list
	usage "--jobs: '0' is out of range (1 to 1000)" -j 0
	usage "--jobs: 'many' is not a number" --jobs many
	usage "--per-host: '1001' is out of range (1 to 1000)" --per-host 1001
	usage "option '--l' is ambiguous: --list, --log-format" --l
	usage "--no-mail-status: '256' is out of range (0 to 255)" --no-mail-status 256
	usage "--log-format: 'xml' is neither text nor json" --log-format xml
	usage "--progress: 'sometimes' is neither auto, always nor never" --progress=sometimes
	usage "--tls: 'ssl' is neither implicit, starttls nor none" --tls ssl
	assert_stderr_has "pophaul: see 'pophaul --help'"
	PORT=1 SERVER_TLS=none
	write_config < <(account home)
	usage "there is no account 'hoem', did you mean 'home'?" hoem
	usage "there is no account 'office'" office
	usage "there is no account 'office'" -t -q office
	usage "command line: deliver: 'Maildir' is not maildir:PATH, mbox:PATH or pipe:COMMAND" --deliver Maildir
	usage "command line: keep: '14x' has an unknown unit 'x': s, m, h, d or w" --keep 14x
	usage 'command line: state-dir: is empty' --state-dir ''
}

@test "a relative path needs a working folder that exists" {
	PORT=1 SERVER_TLS=none
	write_config < <(account home)
	mkdir gone
	cd gone
	rmdir ../gone
	run --separate-stderr pophaul --state-dir state
	assert_status 71
	assert_equal "$stderr" 'pophaul: cannot find the working folder: No such file or directory'
	run pophaul -t
	assert_status 0
}

@test "-t and --check-config read the configuration, say how it is, and do nothing else" {
	start_fakepop
	write_config < <(account home; account other)
	for option in -t --check-config; do
		run --separate-stderr pophaul $option
		assert_status 0
		assert_output_is "$CONF: 2 accounts, no errors"
		assert_equal "$stderr" ''
	done
	run pophaul -t home
	assert_status 0
	run pophaul -t -q
	assert_output_is ''
	echo 'jobs = 0' >>"$CONF"
	run pophaul -t
	assert_status 78
	[ "$(count_sessions)" -eq 0 ]
}

@test "-c and --config read another file, and only that" {
	start_fakepop -e 'messages 1'
	echo 'this is wrong' >"$CONF"
	account home "state-dir = " >other
	chmod 600 other
	for option in '-c other' -cother '--config other' --config=other; do
		# shellcheck disable=SC2086
		run pophaul $option --state-dir "$STATE"
		assert_status 0
	done
	[ "$(count_sessions)" -eq 4 ]
	[ "$(count_files Maildir/new)" -eq 1 ]
}

# ---- overrides ----

@test "--deliver, --keep and --state-dir hold for all accounts, whatever the configuration says" {
	start_fakepop -e 'messages 2' -e 'on QUIT send +OK bye; bye' # which deletes nothing
	write_config < <(account one 'deliver = "mbox:/nonexistent/box"'; account two)
	run pophaul --deliver "mbox:$HOME/box" --keep never --state-dir other/state
	assert_status 0
	[ "$(grep -c '^From ' box)" -eq 4 ]
	[ -e other/state/one.uidl ] && [ -e other/state/two.uidl ] && [ ! -e "$STATE" ] && [ ! -e Maildir ]
	[ "$(grep -c '> DELE' "$TRANSCRIPT")" -eq 4 ]
	# A destination in the configuration is not missed then.
	start_fakepop -e 'messages 2'
	write_config < <(account one 'deliver = ')
	run pophaul --deliver "mbox:$HOME/box2"
	assert_status 0
	[ "$(grep -c '^From ' box2)" -eq 2 ]
	run pophaul
	assert_status 78
}

@test "--keep forever and an age spare what the configuration would delete" {
	start_fakepop -e 'messages 2'
	write_config < <(account one 'keep = "never"')
	run pophaul --keep forever
	run pophaul --keep=30d
	assert_status 0
	[ "$(grep -c '> DELE' "$TRANSCRIPT")" -eq 0 ]
	run pophaul
	[ "$(grep -c '> DELE' "$TRANSCRIPT")" -eq 2 ]
	[ "$(count_files Maildir/new)" -eq 2 ]
}

@test "--tls and --tls-trust-file override the configuration" {
	start_fakepop --stls -e 'messages 1'
	write_config < <(account one 'tls = "none"' 'tls-trust-file = "/nonexistent"')
	cp "$CA_FILE" ca.pem
	run pophaul --tls starttls --tls-trust-file ca.pem
	assert_status 0
	transcript_events | grep -q '^tls '
	run pophaul --tls starttls
	assert_status 78 || assert_status 76
	write_config < <(account one 'tls = "starttls"')
	run pophaul --tls none
	assert_status 0
	[ "$(transcript_events 3 | grep -c '^tls ')" -eq 0 ] && [ "$(count_sessions)" -ge 2 ]
}

# ---- POP URLs ----

@test "a POP URL needs no configuration, asks for the password on the terminal and does not show it" {
	start_fakepop --password 'top secret' -e 'messages 2'
	run on_terminal $'top secret\n' "$BUILD/pophaul" --tls none --state-dir "$STATE" \
		--deliver "maildir:$HOME/Mail" "pop://jane@$HOST:$PORT"
	assert_status 0
	assert_output_has "Password for jane at $HOST: "
	refute_output_has 'top secret'
	assert_output_matches "^jane@$HOST\+$PORT: 2 messages, 2.0 KB, 2 left, 0 skipped, 0 failed, "
	[ "$(count_files Mail/new)" -eq 2 ]
	[ -e "$STATE/jane@$HOST+$PORT.uidl" ]
	run on_terminal $'wrong\n' "$BUILD/pophaul" --tls none --state-dir "$STATE" \
		--deliver "maildir:$HOME/Mail" "pop://jane@$HOST:$PORT"
	assert_status 77
}

@test "a question for a password that is interrupted, or answered with nothing, polls nothing" {
	start_fakepop
	run on_terminal $'\x03' "$BUILD/pophaul" --tls none --state-dir "$STATE" -l "pop://jane@$HOST:$PORT"
	assert_status 75
	assert_output_has 'pophaul: '
	assert_output_has 'interrupted'
	run on_terminal $'\n' "$BUILD/pophaul" --tls none --state-dir "$STATE" -l "pop://jane@$HOST:$PORT"
	assert_status 78
	assert_output_has 'the password is empty'
	[ "$(count_sessions)" -eq 0 ]
}

@test "a command that cannot be run says so also on a terminal that stops who writes from behind" {
	PORT=1 SERVER_TLS=none
	account home 'password =' 'password-command = "/nonexistent/command"' | write_config
	run on_terminal '' sh -c 'stty tostop; exec "$@"' sh "$BUILD/pophaul"
	assert_status 77
	assert_output_has "cannot run '/nonexistent/command': No such file or directory"
}

# url ARGUMENT…: a run without configuration, with passwords from .netrc.
url() {
	printf 'default login jane password secret\n' >"$HOME/.netrc"
	chmod 600 "$HOME/.netrc"
	pophaul --state-dir "$STATE" --deliver "maildir:$HOME/Mail" "$@"
}

@test "a POP URL may name a mechanism, in any case, or leave it open" {
	start_fakepop -e 'messages 1'
	run url --tls none "pop://jane;AUTH=PLAIN@$HOST:$PORT"
	assert_status 0
	transcript 1 | grep -q '^AUTH PLAIN '
	run url --tls none "pop://jane;auth=login@$HOST:$PORT/"
	assert_status 0
	transcript 2 | grep -q '^AUTH LOGIN'
	run url --tls none "POP://jane;AUTH=*@$HOST:$PORT"
	assert_status 0
	transcript 3 | grep -q '^AUTH CRAM-MD5'
	start_fakepop --apop -e 'messages 1'
	run url --tls none "pop://jane;AUTH=+APOP@$HOST:$PORT"
	assert_status 0
	transcript | grep -q '^APOP jane '
}

@test "a POP URL's parts may be escaped, and its account's name has no other letters" {
	start_fakepop --user 'jane/doe@work' -e 'messages 1'
	printf 'default login jane/doe@work password secret\n' >.netrc
	chmod 600 .netrc
	run pophaul --state-dir "$STATE" --tls none --deliver "maildir:$HOME/Mail" \
		"pop://jane%2Fdoe%40work;AUTH=PLAIN@127%2e0.0.1:$PORT"
	assert_status 0
	[ -e "$STATE/jane_doe@work@127.0.0.1+$PORT.uidl" ]
}

@test "a POP URL may have an IPv6 address in brackets" {
	start_fakepop --listen6 -e 'messages 1'
	run url --tls none "pop://jane@[::1]:$PORT"
	assert_status 0
	[ "$(count_files Mail/new)" -eq 1 ]
	[ -e "$STATE/jane@__1+$PORT.uidl" ]
}

@test "a POP URL is TLS on port 995 unless it says otherwise, STLS on port 110" {
	run url pop://jane@127.99.88.77
	assert_status 69
	assert_output_has "pophaul: jane@127.99.88.77: '127.99.88.77': cannot connect to port 995: "
	run url pop://jane@127.99.88.77:110
	assert_output_has "pophaul: jane@127.99.88.77: '127.99.88.77': cannot connect to port 110: "
	run url --tls starttls pop://jane@127.99.88.77
	assert_output_has "pophaul: jane@127.99.88.77: '127.99.88.77': cannot connect to port 110: "
	start_fakepop --tls -e 'messages 1'
	run url --tls-trust-file "$CA_FILE" "pop://jane@$HOST:$PORT"
	assert_status 0
	[ "$(count_files Mail/new)" -eq 1 ]
}

@test "a POP URL that is wrong is told what is wrong with it" {
	local u

	# Pairs of a URL and what is said of it.
	while read -r u text; do
		usage "'$u': $text" --deliver mbox:/m "$u"
	done <<-'EOF'
		http://jane@h it does not begin with pop://
		pops://jane@h there is no scheme 'pops': pop:// is TLS from the first octet, unless it names port 110
		pop://h it names no user: pop://USER@HOST
		pop://@h it names no user
		pop://jane@ it names no host
		pop://jane:secret@h a password has no place in a URL, where others can see it: leave it out and be asked (a ':' in a user's name is %3A)
		pop://a@b@h an '@' in the user's name is written %40
		pop://jane@h/INBOX nothing can follow the host and port
		pop://jane@h?x nothing can follow the host and port
		pop://jane;X=Y@h only AUTH=MECHANISM can follow the ';'
		pop://jane;AUTH=+PLAIN@h +APOP is the only mechanism with a '+'
		pop://ja%4@h the user has a % without two hex digits
		pop://ja%0Ane@h the user has a line end or NUL in it
		pop://jane@[::1 the '[' of its host is not closed
		pop://jane@::1 an IPv6 address stands in brackets: [::1]
		pop://jane@[::1]x only a port can follow the ']'
		pop://jane@h:0 port: '0' is out of range (1 to 65535)
		pop://jane@h:pop port: 'pop' is not a number
		pop://jane;AUTH=XOAUTH2@h auth: XOAUTH2 takes a token, not a password: set 'token-command' or 'token-file'
		pop://jane;AUTH=RPA@h auth: 'RPA' is none of: SCRAM-SHA-512-PLUS, SCRAM-SHA-384-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-224-PLUS, SCRAM-SHA-1-PLUS, SCRAM-SHA-512, SCRAM-SHA-384, SCRAM-SHA-256, SCRAM-SHA-224, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN, USER, APOP, EXTERNAL, GSSAPI, GS2-KRB5, GSS-SPNEGO, OAUTHBEARER, XOAUTH2, DIGEST-MD5, NTLM
	EOF
	u=pop://$(printf 'a%.0s' {1..210})@h
	usage "'$u': its user and host are too long" --deliver mbox:/m "$u" ||
		assert_stderr_has 'its user and host are too long'
	usage "there is nowhere to deliver the mail of 'jane@h' to: give --deliver DEST" pop://jane@h
}

@test "accounts are polled in the order named, each once, URLs among them" {
	start_fakepop -e 'messages 1' -e any-user
	write_config < <(account one 'user = "u1"'; account two 'user = "u2"'; account three 'user = "u3"')
	printf 'default login u4 password secret\n' >.netrc
	chmod 600 .netrc
	run pophaul -v -j 1 --tls none --deliver "maildir:$HOME/Maildir" three "pop://u4@$HOST:$PORT" one three "pop://u4@$HOST:$PORT"
	assert_status 0
	assert_equal "$(grep -oE '^[^:]*: 1 message' <<<"$output")" "three: 1 message
u4@$HOST+$PORT: 1 message
one: 1 message"
	[ "$(count_sessions)" -eq 3 ]
}

# ---- --list and --dry-run ----

ODD='message "Subject: =?utf-8?q?h=C3=A9llo?= =?utf-8?q?_=1B[31mred?=\nFrom: \"J\x1b]0;x\x07\" <j@example.org>\nDate: Sat, 21 Nov 2026 10:00:00 +0000\n\nb\n"'

@test "--list shows number, octets, UID and whether a message is new, and changes nothing" {
	start_fakepop -e "$ODD" -e 'messages 2 2000' -e 'uidl 1 "a\x1b[31m"' -e 'size 3 5000000000'
	write_config < <(account home 'keep = "never"')
	for option in -l --list; do
		run --separate-stderr pophaul $option
		assert_status 0
		assert_equal "$stderr" ''
		size=$(sed -nE 's/^ *1 +([0-9]+) .*/\1/p' <<<"$output")
		[ "$size" -gt 100 ]
		assert_output_is "home: 3 messages, $((size + 2000 + 5000000000)) octets, 3 of them new
$(printf '%6d %10s  %s' 1 "$size" '\x1b' | sed 's/\\x1b/a\\x1b[31m/')  new
     2       2000  uid-2  new
     3 5000000000  uid-3  new"
	done
	assert_equal "$(transcript 1 | grep -vE '^(CAPA|AUTH .*|[A-Za-z0-9+/=]{20,})$' | sort | tr '\n' ' ')" 'LIST QUIT UIDL '
	[ ! -e "$STATE" ] && [ ! -e Maildir ]
	# What has been fetched is seen.
	printf 'messages 1\nsession 2+ message "Subject: late\\n\\n"\n' >script
	start_fakepop --script script
	write_config < <(account home)
	run pophaul
	cp -a "$STATE" before
	run pophaul --list
	assert_output_matches '^ +1 +1000  uid-1  seen$'
	assert_output_matches '^ +2 +[0-9]+  uid-2  new$'
	assert_output_has '2 messages, '
	assert_output_has ', 1 of them new'
	diff -r "$STATE" before
}

@test "--list -v shows From, Subject and Date, decoded, and lets no control character through" {
	start_fakepop -e "$ODD" -e 'message "X-Nothing: here\n\n"'
	write_config < <(account home)
	run --separate-stderr pophaul --list --verbose
	assert_status 0
	refute_output_has $'\e'
	refute_output_has $'\a'
	assert_output_has '                    From: "J\x1b]0;x\x07" <j@example.org>'
	assert_output_has '                    Subject: héllo \x1b[31mred'
	assert_output_has '                    Date: Sat, 21 Nov 2026 10:00:00 +0000'
	[ "$(grep -c 'From:' <<<"$output")" -eq 1 ]
	transcript | grep -q '^TOP 2 0$'
	[ ! -e "$STATE" ] && [ ! -e Maildir ]
	# Without TOP there is only what the listing tells.
	start_fakepop -e 'messages 1' -e 'capa -TOP' -e 'on TOP send -ERR no'
	write_config < <(account home)
	run --separate-stderr pophaul -lv
	assert_status 0
	assert_output_matches '^ +1 +1000  uid-1  new$'
}

@test "--list works with a server without UIDL" {
	start_fakepop -e 'messages 1' -e 'capa -UIDL' -e 'on UIDL send -ERR what'
	write_config < <(account home)
	run pophaul -l
	assert_status 0
	assert_output_has '     1       1000  -  new'
}

@test "--dry-run says for each message what would be done and why, and changes nothing at either end" {
	start_fakepop - <<-'EOF'
		messages 2
		message "Subject: big\n\nbig\n"
		size 3 5000
		messages 3
		session 1 hide 3
		session 1 hide 4
		session 1 hide 5
		session 1 hide 6
	EOF
	write_config < <(account home)
	run pophaul
	assert_status 0
	cp -a "$STATE" before
	cp -a Maildir maildir-before
	today=$(date +%Y-%m-%d)
	write_config < <(account home 'keep = "never"' 'max-size = 3000' 'max-messages = 1')
	for option in -n --dry-run; do
		run --separate-stderr pophaul $option
		assert_status 0
		assert_equal "$stderr" ''
		assert_output_is "     1       1000  uid-1  delete: known since $today, not to be kept
     2       1000  uid-2  delete: known since $today, not to be kept
     3       5000  uid-3  skip: bigger than max-size (5000 > 3000)
     4       1000  uid-4  fetch and delete: new
     5       1000  uid-5  skip: beyond max-messages (1)
     6       1000  uid-6  skip: beyond max-messages (1)
home: would fetch 1 message (1000 octets), delete 2, leave 0, skip 3; nothing was changed"
	done
	assert_equal "$(transcript 2 | grep -vE '^(CAPA|AUTH .*|[A-Za-z0-9+/=]{20,})$' | sort | tr '\n' ' ')" 'LIST QUIT UIDL '
	write_config < <(account home 'newest = 2')
	run pophaul -n
	assert_output_has "     1       1000  uid-1  leave: known since $today"
	assert_output_has "     4       1000  uid-4  skip: not among the newest 2"
	assert_output_has "     5       1000  uid-5  fetch: new"
	diff -r "$STATE" before
	diff -r Maildir maildir-before
}

@test "--dry-run of an account never polled makes no folder" {
	start_fakepop -e 'messages 1'
	write_config < <(account home)
	run pophaul --dry-run
	assert_status 0
	assert_output_has '     1       1000  uid-1  fetch: new'
	[ ! -e "$STATE" ] && [ ! -e Maildir ]
	[ "$(transcript_events | grep -c deleted)" -eq 0 ]
}

# ---- where output goes ----

@test "a reader that leaves, and no standard output at all, are no errors" {
	start_fakepop --synthetic 20000 1000
	write_config < <(account home)
	run bash -c '"$0" -l | head -n 1; exit "${PIPESTATUS[0]}"' "$BUILD/pophaul"
	assert_status 0
	assert_output_is 'home: 20000 messages, 20000000 octets, 20000 of them new'
	start_fakepop -e 'messages 1'
	write_config < <(account home)
	run pophaul -v >&-
	assert_status 0
	[ "$(count_files Maildir/new)" -eq 1 ]
}

@test "standard output that cannot be written is status 74" {
	start_fakepop -e 'messages 1'
	write_config < <(account home)
	run full -l
	assert_status 74
	assert_output_is 'pophaul: cannot write standard output: No space left on device'
	run full --help
	assert_status 74
	run full --version
	assert_status 74
}

# full OPTION…: with a full disk behind standard output.
full() {
	pophaul "$@" >/dev/full
}

# with_closed DIGITS COMMAND…: with these descriptors closed.
with_closed() {
	local closed=$1

	shift
	[[ $closed != *0* ]] || exec <&-
	[[ $closed != *1* ]] || exec >&-
	[[ $closed != *2* ]] || exec 2>&-
	"$@"
}

@test "whichever standard descriptors are missing, mail comes and no log line gets into a file" {
	local closed

	start_fakepop -e 'messages 1'
	write_config < <(account home)
	for closed in 0 1 2 01 02 12 012; do
		rm -rf "$STATE" Maildir
		(with_closed "$closed" pophaul -vv)
		[ "$(count_files Maildir/new)" -eq 1 ]
		assert_equal "$(head -n 1 "$STATE/home.uidl")" 'pophaul-uidl 1'
		assert_equal "$(cat "$STATE/home.lock")" ''
		run ! grep -q pophaul: "$STATE/home.uidl"
		assert_maildir_is_clean
	done
}

@test "results that cannot be written are no success, whatever their form" {
	local form

	start_fakepop -e 'messages 1'
	write_config < <(account home)
	for form in --verbose '--log-format json' --list; do
		run --separate-stderr full $form
		assert_status 74
		assert_stderr_has 'cannot write standard output: No space left on device'
	done
	run --separate-stderr pophaul -q --log-format json
	assert_status 0
	assert_equal "$output" ''
}

# No line of a log is in a message.
assert_maildir_is_clean() {
	! grep -rq pophaul Maildir
}

# ---- how much is said ----

@test "not on a terminal nothing is said when all went well, and something when not" {
	start_fakepop -e 'messages 2' -e 'once on RETR 2 send -ERR later'
	write_config < <(account home)
	run --separate-stderr pophaul
	assert_status 1
	assert_equal "$output" ''
	assert_stderr_has 'pophaul: home: message 2 (uid-2): '
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr$output" ''
	[ "$(count_files Maildir/new)" -eq 2 ]
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr$output" ''
}

@test "on a terminal an account's line tells messages, octets, left, skipped, failed and seconds" {
	start_fakepop -e 'messages 3 2000' -e 'size 3 9000'
	write_config < <(account home 'max-size = 5000')
	run on_terminal '' "$BUILD/pophaul" --progress never
	assert_status 0
	assert_output_matches '^home: 2 messages, [34]\.[0-9] KB, 3 left, 1 skipped, 0 failed, [0-9.]+ s$'
	assert_output_matches '^pophaul: home: left on the server: 1 message bigger than max-size \(5000 octets\)$'
	run on_terminal '' "$BUILD/pophaul" --progress never
	assert_output_matches '^home: no new mail, 3 left, 1 skipped, 0 failed, [0-9.]+ s$'
	run on_terminal '' "$BUILD/pophaul" --quiet --keep never
	assert_status 0
	assert_output_is ''
}

@test "-v tells the same where there is no terminal, deletions too, and what is decided" {
	start_fakepop -e 'messages 1' -e 'message "Subject: x\n\n"'
	write_config < <(account home)
	run --separate-stderr pophaul -v --keep never
	assert_status 0
	assert_output_matches '^home: 2 messages, [0-9]+ octets, 2 deleted, 0 left, 0 skipped, 0 failed, [0-9.]+ s$'
	assert_stderr_has 'pophaul: home: message 1 (uid-1): new'
	assert_stderr_has 'pophaul: home: logged in with '
	refute_stderr_has '> CAPA'
}

@test "-vv shows the dialogue, and masks every secret" {
	local mechanism

	start_fakepop --apop --password 'p4ssw0rd' -e 'messages 1'
	for mechanism in USER PLAIN LOGIN CRAM-MD5 APOP; do
		write_config < <(account home "auth = $mechanism" 'password = "p4ssw0rd"' 'keep = never' 'deliver = "pipe:cat"')
		run --separate-stderr pophaul -vv
		assert_status 0
		assert_stderr_has 'pophaul: home: < +OK fakepop ready'
		assert_stderr_has 'pophaul: home: > CAPA'
		assert_stderr_has '****'
		assert_stderr_has '> QUIT'
		# Neither the secret nor what was sent for it, as it is or encoded.
		while IFS= read -r line; do
			[ -z "$line" ] || refute_stderr_has "$line"
		done < <(printf '%s\n' p4ssw0rd "$(printf p4ssw0rd | base64)" "$(printf '\0jane\0p4ssw0rd' | base64)" &&
			transcript "$(count_sessions)" | grep -E '^([A-Za-z0-9+/]{8,}=*|(APOP|PASS|AUTH PLAIN) .*)$')
	done
	run --separate-stderr pophaul --verbose --verbose
	assert_stderr_has '> CAPA'
}

@test "what a server says is shown in quotes, without control characters" {
	start_fakepop -e 'on AUTH send "-ERR \x1b[31mgo\taway\x07"' -e 'capa -USER'
	write_config < <(account home)
	run --separate-stderr pophaul -vv
	refute_stderr_has $'\e'
	refute_stderr_has $'\a'
	assert_stderr_has '\x1b[31mgo\taway\x07'
	# A server that tells wrong passwords apart (AUTH-RESP-CODE) did not say that this is one.
	assert_status 75
}

@test "-q and --quiet show errors only" {
	start_fakepop -e 'messages 2' -e 'on RETR 2 send -ERR no'
	write_config < <(account home)
	for option in -q --quiet; do
		run --separate-stderr pophaul $option
		assert_status 1
		assert_equal "$stderr$output" ''
	done
	write_config < <(account home 'password = "wrong"')
	run --separate-stderr pophaul -q
	assert_status 77
	assert_stderr_has 'pophaul: home: '
}

@test "with --log-format json every line of both outputs is an object" {
	start_fakepop -e 'messages 2 2000' -e 'session 1 on RETR 2 send "-ERR \"no\\\x1b\xff"' -e 'session 2+ on PASS send -ERR [AUTH] no' \
		-e 'session 2+ on AUTH send -ERR [AUTH] no'
	write_config < <(account home)
	run --separate-stderr pophaul -vv --log-format json
	assert_status 1
	assert_equal "$(as_json 'len(o), o[0]["account"], o[0]["result"], o[0]["status"], o[0]["fetched"], o[0]["failed"], o[0]["left"], sorted(o[0])' <<<"$output")" \
		"(1, 'home', 'ok', 1, 1, 1, 2, ['account', 'deleted', 'failed', 'fetched', 'left', 'octets', 'result', 'seconds', 'skipped', 'status'])"
	assert_equal "$(as_json 'sorted(set(map(tuple, map(sorted, o))))' <<<"$stderr")" "[('account', 'level', 'process', 'text', 'time')]"
	assert_equal "$(as_json 'sorted({l["level"] for l in o})' <<<"$stderr")" "['verbose', 'warning', 'wire']"
	assert_equal "$(as_json 'sorted({l["process"] for l in o})' <<<"$stderr")" "['deliverer', 'fetcher']"
	run --separate-stderr pophaul --log-format=json
	assert_status 77
	assert_equal "$(as_json 'o[0]["result"], o[0]["status"], o[0]["error"] != ""' <<<"$output")" "('auth', 77, True)"
	assert_equal "$(as_json 'len(o), o[0]["level"], o[0]["account"], o[0]["process"]' <<<"$stderr")" "(1, 'error', 'home', 'poller')"
}

# ---- the progress line ----

@test "--progress always shows messages, octets and the rate, and takes the line away at the end" {
	start_fakepop -e 'messages 60 20000' -e 'on /^RETR / wait 15; normal'
	write_config < <(account home 'pipelining = off')
	run --separate-stderr pophaul --progress always
	assert_status 0
	tr '\r' '\n' <<<"$stderr" >lines
	grep -qE $'^\e\\[K[0-9]+/60 messages, [0-9.]+ [KM]B of 1\\.2 MB$' lines
	grep -qE $'^\e\\[K[0-9]+/60 messages, [0-9.]+ [KM]B of 1\\.2 MB, [0-9.]+ [KM]B/s, [0-9]+ s left$' lines
	assert_equal "$(tail -n 1 lines)" $'\e[K'
	assert_equal "$output" ''
}

@test "the progress line is shown on a terminal, and not with never, -q, -v or json" {
	start_fakepop -e 'messages 30 20000' -e 'on /^RETR / drip 4000 4; normal'
	write_config < <(account home 'pipelining = off')
	progress() {
		rm -rf "$STATE" Maildir
		TERMINAL_RAW=1 run on_terminal '' "$BUILD/pophaul" "$@"
		assert_status 0
		grep -cE '[0-9]+/30 messages, ' <<<"$output" || :
	}
	[ "$(progress)" -ge 1 ]
	[ "$(progress --progress auto)" -ge 1 ]
	[ "$(progress --progress never)" -eq 0 ]
	[ "$(progress -q)" -eq 0 ]
	[ "$(progress -v)" -eq 0 ]
	[ "$(progress --log-format json)" -eq 0 ]
}

# ---- exit statuses ----

# ends STATUS TEXT [LINE…]: an account with these lines ends so, and says so.
ends() {
	local status_wanted=$1 text=$2

	shift 2
	write_config < <(account home "$@")
	run --separate-stderr pophaul
	assert_status "$status_wanted" || return
	assert_stderr_has "$text"
}

@test "status 0 is mail and no mail, unless --no-mail-status says otherwise" {
	start_fakepop -e 'messages 1'
	write_config < <(account home)
	run pophaul --no-mail-status 10
	assert_status 0
	run pophaul --no-mail-status 10
	assert_status 10
	run pophaul
	assert_status 0
	# Not where nothing can be fetched, nor where something went wrong.
	run pophaul --no-mail-status 10 -l
	assert_status 0
	write_config < <(account home 'password = "wrong"')
	run pophaul --no-mail-status=10
	assert_status 77
}

@test "status 1: a message was refused, by the server or by the destination" {
	start_fakepop -e 'messages 2'
	ends 1 'pophaul: home: message 1 (uid-1): ' 'deliver = "pipe:false"'
}

@test "status 69: the server cannot be reached, does not answer, or needs its administrator" {
	PORT=$(free_port) SERVER_TLS=none
	ends 69 "pophaul: home: '127.0.0.1': cannot connect to port $PORT: "
	start_fakepop -e 'on /^(AUTH|USER)/ send -ERR [SYS/PERM] no disk'
	ends 69 'no disk'
	start_fakepop -e stall
	ends 69 'pophaul: home: ' 'timeout = 1s'
}

@test "status 71: the system refuses something ordinary" {
	start_fakepop
	write_config < <(account home)
	few() { (ulimit -n 6 && pophaul); }
	run few
	assert_status 71
	assert_output_has 'pophaul: home: cannot make a socket pair: Too many open files'
}

@test "status 73: a folder cannot be created" {
	start_fakepop -e 'messages 1'
	: >file
	ends 73 'pophaul: home: ' "deliver = \"maildir:$HOME/file/Maildir\""
	write_config < <(account home)
	run --separate-stderr pophaul --state-dir "$HOME/file/state"
	assert_status 73
	assert_stderr_has 'pophaul: home: '
}

@test "status 74: a file cannot be written" {
	start_fakepop -e 'messages 1 60000'
	write_config < <(account home)
	small() { (ulimit -f 20 && pophaul); }
	run small
	assert_status 74
	assert_output_has 'pophaul: home: '
	[ "$(count_files Maildir/new)" -eq 0 ]
}

@test "status 75: another pophaul works on the account, which makes no noise under cron" {
	start_fakepop -e 'messages 1'
	write_config < <(account home)
	mkdir -p "$STATE"
	run --separate-stderr flock "$STATE/home.lock" timeout -k 5 20 "$BUILD/pophaul"
	assert_status 75
	assert_equal "$stderr$output" ''
	run flock "$STATE/home.lock" timeout -k 5 20 "$BUILD/pophaul" -v
	assert_status 75
	assert_output_has 'pophaul: home: another pophaul is working on this account'
	[ "$(count_sessions)" -eq 0 ]
}

@test "status 75: the server asks to come back later" {
	start_fakepop -e 'on /^(AUTH|USER)/ send -ERR [IN-USE] busy'
	write_config < <(account home)
	run --separate-stderr pophaul
	assert_status 75
	assert_equal "$stderr" ''
}

@test "status 76: the server breaks the protocol, or there is no trustworthy TLS" {
	start_fakepop -e 'greeting * OK IMAP4rev1 ready'
	ends 76 'pophaul: home: '
	start_fakepop --tls
	make_ca "$HOME/other"
	ends 76 'certificate' "tls-trust-file = \"$HOME/other.pem\""
}

@test "status 77: the login is refused" {
	start_fakepop
	ends 77 'pophaul: home: ' 'password = "wrong"'
}

@test "status 78: the configuration is wrong for this server" {
	start_fakepop -e 'messages 1' -e 'capa -UIDL' -e 'on UIDL send -ERR what'
	ends 78 'the server gives no unique ids (UIDL): only keep = "never" works with it'
	[ "$(transcript | grep -c RETR)" -eq 0 ]
}
