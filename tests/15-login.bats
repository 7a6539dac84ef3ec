#!/usr/bin/env bats
# Logging in: mechanisms, their order, what a refusal means, and where passwords come from.

load helper

# fetch [LINE…]: poll an account of these lines, "box"; OPTIONS are the program's.
fetch() {
	account box "$@" | write_config
	LOGINS=$(count_logins)
	run --separate-stderr pophaul "${OPTIONS[@]}"
}

forget() {
	rm -rf "$STATE" "$HOME/Maildir"
}

delivered() {
	count_files "$HOME/Maildir/new"
}

# plain USER PASSWORD: the response of PLAIN.
plain() {
	printf '\0%s\0%s' "$1" "$2" | base64 -w 0
}

# one_message FOLDER: a folder with one message in it.
one_message() {
	mkdir -p "$1"
	printf 'Subject: hello\n\nHello.\n' >"$1/1.eml"
}

# The logins that worked, as Dovecot's log tells of them.
count_logins() {
	[ -z "${DOVECOT_DIR-}" ] || grep -c 'Login: ' "$DOVECOT_DIR/log" || :
}

has_new_login() {
	[ "$(count_logins)" -gt "$LOGINS" ]
}

# Which mechanism Dovecot saw in the login of the last run. Its log has its own process, which may be late.
dovecot_method() {
	wait_until 20 has_new_login || fail 'no login in the log' "$(cat "$DOVECOT_DIR/log")"
	sed -n 's/.*Login: .*method=\([^,]*\),.*/\1/p' "$DOVECOT_DIR/log" | tail -n 1
}

setup() {
	default_setup
	OPTIONS=()
}

# ---- a real server ----

# All that Dovecot has for passwords.
readonly ALL_MECHANISMS='auth_mechanisms = plain login cram-md5 digest-md5 apop scram-sha-1 scram-sha-256'

@test "Dovecot lets in by PLAIN, LOGIN, CRAM-MD5, DIGEST-MD5, SCRAM-SHA-1, SCRAM-SHA-256, USER and APOP by name" {
	start_dovecot "$ALL_MECHANISMS"
	one_message folder
	for auth in PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 USER APOP; do
		put_messages folder jane
		for tls in starttls none; do
			fetch "auth = \"$auth\"" "tls = \"$tls\""
			assert_status 0
			case $auth in
			USER) assert_equal "$(dovecot_method)" PLAIN ;;
			*) assert_equal "$(dovecot_method)" "$auth" ;;
			esac
		done
	done
	assert_equal "$(delivered)" 8
}

@test "auto takes the best that Dovecot offers" {
	start_dovecot
	one_message folder
	put_messages folder jane
	fetch
	assert_status 0
	assert_equal "$(dovecot_method)" SCRAM-SHA-256
	stop_servers
	forget
	start_dovecot 'auth_mechanisms = plain login cram-md5'
	fetch
	assert_status 0
	assert_equal "$(dovecot_method)" PLAIN
	fetch 'tls = "none"'
	assert_status 0
	assert_equal "$(dovecot_method)" CRAM-MD5
}

@test "a wrong password is refused by Dovecot with each mechanism, after one try" {
	# Without its penalty, which makes each failure from one address slower than the one before.
	start_dovecot "$ALL_MECHANISMS" 'service anvil {' 'unix_listener anvil-auth-penalty {' 'mode = 0' '}' '}'
	for auth in PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 USER APOP auto; do
		forget
		: >"$DOVECOT_DIR/log"
		fetch "auth = \"$auth\"" 'password = "wrong"'
		assert_status 77
		[[ $stderr == *'the server refused the login with '*'[AUTH]'* ]] || fail "$auth: $stderr"
		logged() { grep -q 'Aborted login\|Disconnected' "$DOVECOT_DIR/log"; }
		wait_until 10 logged
		grep -q 'auth failed, 1 attempts' "$DOVECOT_DIR/log" || fail "$auth: $(cat "$DOVECOT_DIR/log")"
	done
}

@test "passwords of all letters, blanks and of great length reach Dovecot as they are" {
	start_dovecot
	odd='  sp ace "quo\te $HOME %41 #;=+/ '
	long=$(printf '%0300d' 1)
	add_dovecot_user odd "$odd"
	add_dovecot_user long "$long"
	for auth in PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 USER; do
		fetch "auth = \"$auth\"" 'user = "odd"' "password = '${odd//\\/\\\\}'"
		assert_status 0
		[ "$auth" = USER ] || {
			fetch "auth = \"$auth\"" 'user = "long"' "password = \"$long\""
			assert_status 0
		}
	done
}

# ---- the choice ----

@test "in clear a mechanism that hides the password comes first, under TLS PLAIN does (pop3 rules 44, 51)" {
	serve 'messages 1'
	fetch
	assert_status 0
	assert_equal "$(transcript | sed -n 2p)" 'AUTH CRAM-MD5'
	start_fakepop -e 'messages 1' --tls
	fetch
	assert_status 0
	assert_equal "$(transcript | sed -n 2p)" "AUTH PLAIN $(plain jane secret)"
}

@test "auto takes USER and PASS where nothing else is offered, and APOP never (pop3 rule 53)" {
	start_fakepop --apop -e 'messages 1' -e 'capa -SASL'
	fetch
	assert_status 0
	assert_equal "$(transcript | head -n 3)" $'CAPA\nUSER jane\nPASS secret'
	serve 'messages 1' 'capa none'
	fetch
	assert_status 0
	assert_equal "$(transcript | head -n 3)" $'CAPA\nUSER jane\nPASS secret'
}

@test "APOP by name sends a digest and no password (pop3 rule 53)" {
	start_fakepop --user mrose --password tanstaaf -e 'messages 1' \
		-e 'apop <1896.697170952@dbc.mtview.ca.us>'
	OPTIONS=(-vv)
	fetch 'user = "mrose"' 'password = "tanstaaf"' 'auth = "APOP"'
	assert_status 0
	transcript | grep -qx 'APOP mrose c4c9334bac560ecc979e58001b3e22fb'
	refute_stderr_has c4c9334bac560ecc979e58001b3e22fb
	assert_stderr_has '> APOP ****'
	assert_equal "$(delivered)" 1
}

@test "APOP without a proper timestamp is not tried (pop3 rule 53)" {
	for greeting in '+OK ready' '+OK <no at sign>' '+OK <a@>' '+OK <a b@c>' '+OK a@b' '+OK <a@b'; do
		forget
		serve 'messages 1' "greeting $greeting"
		fetch 'auth = "APOP"'
		assert_status 77
		assert_stderr_has 'APOP: the greeting has no timestamp'
		run ! grep -q APOP "$TRANSCRIPT"
		stop_servers
	done
}

@test "CRAM-MD5 gives the published answer (pop3 rule 52)" {
	challenge=$(printf '<1896.697170952@postoffice.reston.mci.net>' | base64 -w 0)
	serve 'messages 1' "on AUTH send + $challenge; expect $(printf 'tim b913a602c7eda7a495b4e6e7334d3890' | base64 -w 0); login; send +OK"
	fetch 'user = "tim"' 'password = "tanstaaftanstaaf"' 'auth = "CRAM-MD5"'
	assert_status 0
	assert_equal "$(delivered)" 1
}

@test "a mechanism by name that is not listed is tried without an initial response (pop3 rule 44)" {
	serve 'messages 1' 'capa -SASL'
	fetch 'auth = "PLAIN"'
	assert_status 0
	assert_equal "$(transcript | head -n 3)" "CAPA
AUTH PLAIN
$(plain jane secret)"
}

@test "a list of mechanisms is kept to, in its order, up to the first that works (pop3 rules 49, 50)" {
	serve 'messages 1' 'on AUTH SCRAM-SHA-1 send -ERR what is that?'
	fetch 'auth = { "SCRAM-SHA-1", "LOGIN", "PLAIN" }'
	assert_status 0
	assert_transcript <<-'EOF'
		CAPA
		AUTH SCRAM-SHA-1
		AUTH LOGIN
		amFuZQ==
		c2VjcmV0
		CAPA
		UIDL
		LIST
		RETR 1
		QUIT
	EOF
}

@test "a mechanism that is refused before a password was sent makes room for the next (pop3 rule 50)" {
	serve 'messages 1' 'capa -AUTH-RESP-CODE' 'on AUTH CRAM-MD5 send -ERR Not implemented' \
		'on AUTH PLAIN send -ERR Not implemented'
	fetch
	assert_status 77
	assert_equal "$(transcript | head -n 3)" "CAPA
AUTH CRAM-MD5
AUTH PLAIN $(plain jane secret)"
	assert_equal "$(transcript | grep -c 'PASS\|LOGIN')" 0
	forget
	serve 'messages 1' 'capa "SASL CRAM-MD5 LOGIN"' 'capa UIDL' 'on AUTH CRAM-MD5 send -ERR [AUTH] no such mechanism'
	fetch
	assert_status 0
	assert_equal "$(transcript | sed -n 3p)" 'AUTH LOGIN'
}

@test "after a password was refused no other mechanism is tried (pop3 rules 14, 50)" {
	serve 'messages 1' 'capa -AUTH-RESP-CODE'
	for auth in CRAM-MD5 LOGIN PLAIN USER; do
		forget
		fetch "auth = { \"$auth\", \"PLAIN\", \"LOGIN\", \"USER\" }" 'password = "wrong"'
		assert_status 77
		assert_stderr_has "the server refused the login with ${auth/USER/USER\/PASS}: \"[AUTH] Authentication failed.\""
	done
	assert_equal "$(transcript 1 | grep -c '^AUTH\|^USER')" 1
	assert_equal "$(transcript 2 | grep -c '^AUTH\|^USER')" 1
	assert_equal "$(transcript 3 | grep -c '^AUTH\|^USER')" 1
	assert_equal "$(transcript 4 | grep -c '^AUTH\|^USER')" 1
	assert_equal "$(count_sessions)" 4
}

@test "a server in trouble during AUTH is tried later, and no other mechanism now" {
	for code in IN-USE SYS/TEMP LOGIN-DELAY; do
		serve 'messages 1' "on AUTH send -ERR [$code] later"
		OPTIONS=(-v)
		fetch
		assert_status 75
		assert_stderr_has "the server refused the login with CRAM-MD5: \"[$code] later\""
		assert_equal "$(transcript | tail -n 1)" 'AUTH CRAM-MD5'
	done
	serve 'messages 1' "on AUTH send -ERR [SYS/PERM] never"
	fetch
	assert_status 69
}

@test "AUTH-RESP-CODE makes a refusal without a code a trouble of the server (pop3 rule 32)" {
	serve 'messages 1' 'on AUTH send + ; read; send -ERR data base is down'
	OPTIONS=(-v)
	fetch 'auth = "LOGIN"'
	assert_status 75
	serve 'messages 1' 'capa -AUTH-RESP-CODE' 'on AUTH send + ; read; send -ERR data base is down'
	fetch 'auth = "LOGIN"'
	assert_status 77
}

@test "mechanisms that neither side or only one side has are said" {
	start_fakepop -e 'capa "SASL GSS-SPNEGO XOAUTH2 \x1b"' -e 'capa UIDL'
	fetch
	assert_status 77
	assert_stderr_has 'no way to log in that both sides know (it lists " GSS-SPNEGO XOAUTH2 \x1b ")'
	assert_transcript <<<CAPA
	account box 'auth = "NONSENSE"' | write_config
	run --separate-stderr pophaul
	assert_status 78
	assert_stderr_has NONSENSE
	assert_equal "$(count_sessions)" 1
}

# ---- SASL exchanges gone wrong ----

@test "a challenge that is no base64 is cancelled (pop3 rule 47)" {
	for challenge in 'not base64!' 'PDE4OTYu===' 'PDE4=TYu' 'QQ' 'QR=='; do
		serve 'messages 1' "on AUTH send + $challenge; read; send -ERR cancelled"
		forget
		fetch 'auth = "CRAM-MD5"'
		assert_status 76
		assert_stderr_has "challenge of CRAM-MD5: the server's challenge is not valid base64"
		assert_equal "$(transcript | tail -n 1)" '*'
	done
}

@test "an empty challenge may be a lone plus sign (pop3 rule 46)" {
	serve 'messages 1' 'capa -SASL' 'on AUTH raw "+\r\n"; expect /^[A-Za-z0-9+\/=]+$/; login; send +OK'
	fetch 'auth = "PLAIN"'
	assert_status 0
	assert_equal "$(transcript | sed -n 3p)" "$(plain jane secret)"
}

@test "challenges without end are cancelled (pop3 rule 47)" {
	more=$(for i in {1..40}; do printf '; send + VXNlcm5hbWU6; read'; done)
	serve 'messages 1' "on AUTH send + VXNlcm5hbWU6; read$more; send -ERR"
	fetch 'auth = "LOGIN"'
	[ "$status" -eq 76 ] || [ "$status" -eq 77 ] || fail "$status: $stderr"
	assert_equal "$(transcript | tail -n 1)" '*'
	[ "$(transcript | grep -c .)" -lt 24 ]
}

@test "success before the exchange was complete is a forged one (pop3 rule 48)" {
	for auth in SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5; do
		forget
		serve 'messages 1' "capa -NONE" 'on AUTH login; send +OK welcome'
		fetch "auth = \"$auth\""
		assert_status 77
		assert_stderr_has "the server accepted the login before $auth was complete: it did not prove who it is"
		run ! grep -q 'UIDL' "$TRANSCRIPT"
	done
}

@test "a SCRAM server must know our nonce and ask for enough rounds (pop3 rule 54)" {
	first() { printf '%s' "$1" | base64 -w 0; }
	serve 'messages 1' "on AUTH send + ; read; send + $(first 'r=theirs,s=QUJDREVGR0g=,i=4096'); read; send -ERR"
	fetch 'auth = "SCRAM-SHA-256"'
	assert_status 77
	assert_stderr_has SCRAM-SHA-256
	assert_equal "$(transcript | tail -n 1)" '*'
	forget
	serve 'messages 1' "on AUTH send + ; read; send + $(first 'r=theirs,s=QUJDREVGR0g=,i=10'); read; send -ERR"
	fetch 'auth = "SCRAM-SHA-256"'
	assert_status 77
	assert_stderr_has 'the server asks for 10 iterations, which is too few to protect the password'
	assert_equal "$(transcript | tail -n 1)" '*'
}

@test "the end of the connection in an exchange is said" {
	serve 'messages 1' 'on AUTH send + VXNlcm5hbWU6; read; drop'
	fetch 'auth = "LOGIN"'
	assert_status 69
	assert_stderr_has 'waiting for the reply to AUTH LOGIN: the server closed the connection'
	serve 'messages 1' 'on AUTH send 250 fine'
	fetch 'auth = "LOGIN"'
	assert_status 76
	assert_stderr_has 'unexpected reply to AUTH: "250 fine"'
}

# ---- secrets ----

@test "no password is in the output of -vv, whatever the mechanism" {
	start_fakepop --apop -e 'messages 1'
	for auth in PLAIN LOGIN CRAM-MD5 USER APOP; do
		OPTIONS=(-vv)
		fetch "auth = \"$auth\""
		assert_status 0
		assert_stderr_has '****'
		printf '%s\n' "$output" "$stderr" >>shown
	done
	run ! grep -qF -e secret -e "$(plain jane secret)" -e c2VjcmV0 shown
	# From what CRAM-MD5 and APOP sent it could be guessed.
	sed -n -e 's/^3> \([A-Za-z0-9+/=]\{40,\}\)$/\1/p' -e 's/^5> APOP jane //p' "$TRANSCRIPT" >sent
	[ "$(wc -l <sent)" -eq 2 ]
	run ! grep -qF -f sent shown
}

@test "no password is in the arguments of any process" {
	start_fakepop - <<-EOF
		messages 1
		password se3kr1t
		on RETR touch $HOME/arrived; await $HOME/go; normal
	EOF
	for source in 'password = "se3kr1t"' 'password-command = "cat pw"'; do
		forget
		rm -f arrived go
		echo se3kr1t >pw
		account box 'password =' "$source" "deliver = \"pipe:sh -c 'cat >$HOME/mail'\"" | write_config
		pophaul >out 2>&1 &
		SERVER_PIDS+=($!)
		wait_until 10 test -e arrived
		cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' >arguments || :
		touch go
		wait "${SERVER_PIDS[-1]}"
		grep -qF "$POPHAUL" arguments
		run ! grep -q se3kr1t arguments
		[ -s mail ]
	done
}

# ---- where passwords come from ----

@test "the password is the first line of password-file" {
	serve 'messages 1'
	printf 'secret\nnot this\n' >pw
	chmod 600 pw
	fetch 'password =' "password-file = \"$HOME/pw\""
	assert_status 0
	printf 'secret\r\n' >pw
	fetch 'password =' 'password-file = "~/pw"'
	assert_status 0
	printf 'secret' >pw
	fetch 'password =' 'password-file = "~/pw"'
	assert_status 0
	assert_equal "$(delivered)" 1
}

@test "a password-file that others can read, that is missing or empty is refused before any connection" {
	serve 'messages 1'
	echo secret >pw
	chmod 644 pw
	fetch 'password =' 'password-file = "~/pw"'
	assert_status 78
	assert_stderr_has "'$HOME/pw' has a password and other users can read the file: chmod 600 it"
	chmod 600 pw
	: >pw
	fetch 'password =' 'password-file = "~/pw"'
	assert_status 78
	assert_stderr_has 'the password is empty'
	printf 'se\0cret\n' >pw
	fetch 'password =' 'password-file = "~/pw"'
	assert_status 78
	assert_stderr_has 'the password has a line end or NUL in it'
	fetch 'password =' 'password-file = "~/none"'
	assert_status 78
	assert_stderr_has "$HOME/none"
	mkdir folder
	fetch 'password =' 'password-file = "~/folder"'
	assert_status 78
	assert_equal "$(count_sessions)" 0
}

@test "the password is the first line of a systemd credential" {
	serve 'messages 1'
	mkdir -m 700 credentials
	printf 'secret\nnot this\n' >credentials/mail.home
	chmod 400 credentials/mail.home
	export CREDENTIALS_DIRECTORY=$HOME/credentials
	fetch 'password =' 'credential = "mail.home"'
	assert_status 0
	# As systemd gives it to the user of a service: the mask of its access control list is the group's rights.
	chmod 440 credentials/mail.home
	fetch 'password =' 'credential = "mail.home"'
	assert_status 0
	assert_equal "$(delivered)" 1
}

@test "a credential that is not there, that others can read or that is no password is told before any connection" {
	serve 'messages 1'
	fetch 'password =' 'credential = "home"'
	assert_status 78
	assert_stderr_has "credential 'home': there are none, CREDENTIALS_DIRECTORY is not set: a systemd unit sets it, with LoadCredential=home:FILE"
	CREDENTIALS_DIRECTORY='' fetch 'password =' 'credential = "home"'
	assert_status 78
	assert_stderr_has 'CREDENTIALS_DIRECTORY is not set'
	CREDENTIALS_DIRECTORY=credentials fetch 'password =' 'credential = "home"'
	assert_status 78
	assert_stderr_has "credential 'home': CREDENTIALS_DIRECTORY is no absolute path"
	mkdir credentials
	export CREDENTIALS_DIRECTORY=$HOME/credentials
	fetch 'password =' 'credential = "home"'
	assert_status 78
	assert_stderr_has "credential 'home': cannot open '$HOME/credentials/home': No such file or directory"
	install -m 644 /dev/stdin credentials/home <<<secret
	fetch 'password =' 'credential = "home"'
	assert_status 78
	assert_stderr_has "credential 'home': '$HOME/credentials/home' has a password and other users can read the file"
	chmod 600 credentials/home
	echo >credentials/home
	fetch 'password =' 'credential = "home"'
	assert_status 78
	assert_stderr_has "credential 'home': '$HOME/credentials/home': the password is empty"
	head -c 65537 /dev/zero | tr '\0' x >credentials/home
	fetch 'password =' 'credential = "home"'
	assert_status 78
	assert_stderr_has "'$HOME/credentials/home' is bigger than 65536 octets"
	assert_equal "$(count_sessions)" 0
}

@test "an access token comes from a systemd credential, too" {
	start_fakepop --tls -e 'messages 1' -e 'capa -SASL' -e 'capa +SASL XOAUTH2' -e 'on AUTH send "+ "; read; login; send +OK'
	mkdir -m 700 credentials
	install -m 440 /dev/stdin credentials/token <<<to-ken
	CREDENTIALS_DIRECTORY=$HOME/credentials fetch 'password =' 'token-file = "${CREDENTIALS_DIRECTORY}/token"'
	assert_status 0
	assert_equal "$(transcript 1 | grep -A 1 '^AUTH' | tail -n 1 | base64 -d)" "$(printf 'user=jane\x01auth=Bearer to-ken\x01\x01')"
}

@test "the password is the first line that password-command prints, run without a shell" {
	serve 'messages 1'
	cat >tell <<-'EOF'
		#!/bin/sh
		[ "$1" = 'a b' ] && [ "$2" = '$HOME;*' ] && [ $# -eq 2 ] || exit 1
		[ "$POPHAUL_ACCOUNT $POPHAUL_HOST $POPHAUL_USER" = 'box 127.0.0.1 jane' ] || exit 2
		printf 'secret\nnot this\n'
		echo 'a word to the user' >&2
	EOF
	chmod +x tell
	fetch 'password =' "password-command = '$HOME/tell \"a b\" \\'\$HOME;*\\''"
	assert_status 0
	assert_equal "$(delivered)" 1
}

@test "a password-command that fails, prints nothing or is missing is said, and nobody is connected to" {
	serve 'messages 1'
	fetch 'password =' 'password-command = "sh -c \"echo secret; exit 3\""'
	assert_status 77
	assert_stderr_has "password-command 'sh': "
	assert_stderr_has 3
	fetch 'password =' 'password-command = "sh -c \"kill -9 \$$\""'
	assert_status 77
	fetch 'password =' 'password-command = "true"'
	assert_status 78
	assert_stderr_has "password-command 'true': the password is empty"
	fetch 'password =' 'password-command = "/no/such/command"'
	[ "$status" -ne 0 ]
	assert_stderr_has /no/such/command
	assert_equal "$(count_sessions)" 0
}

@test "a password-command that leaves a process behind is not waited for" {
	serve 'messages 1'
	began=$SECONDS
	fetch 'password =' 'password-command = "sh -c \"echo secret; sleep 300 2>/dev/null & echo \$! >foil\""'
	assert_status 0
	[ "$((SECONDS - began))" -lt 60 ]
	kill "$(cat foil)"
}

@test "an account without a password finds it in .netrc, by host and user" {
	serve 'messages 1'
	cat >.netrc <<-EOF
		machine other login jane password wrong
		machine 127.0.0.1 login joe password wrong
		machine 127.0.0.1
			login jane
			password "secret"
		default login jane password wrong
	EOF
	chmod 600 .netrc
	fetch 'password ='
	assert_status 0
	assert_equal "$(delivered)" 1
	chmod 644 .netrc
	fetch 'password ='
	assert_status 78
	assert_stderr_has "'$HOME/.netrc' has a password and other users can read the file"
}

@test "without a terminal a password that nobody has told is an error" {
	serve 'messages 1'
	account box 'password =' | write_config
	run --separate-stderr setsid -w timeout -k 5 20 "$BUILD/pophaul"
	assert_status 78
	assert_stderr_has 'there is no password for jane at 127.0.0.1, and no terminal to ask for it'
	assert_equal "$(count_sessions)" 0
}

# at_terminal ANSWER COMMAND…: the command at a terminal of its own, where the answer is typed once it asks.
at_terminal() {
	timeout -k 5 30 python3 - "$@" <<-'EOF'
		import os, pty, sys
		pid, fd = pty.fork()
		if pid == 0:
		    os.execvp(sys.argv[2], sys.argv[2:])
		shown, answered = b"", False
		while True:
		    try:
		        got = os.read(fd, 4096)
		    except OSError:
		        break
		    if not got:
		        break
		    shown += got
		    if not answered and b"Password for" in shown and shown.endswith(b": "):
		        os.write(fd, sys.argv[1].encode().decode("unicode_escape").encode())
		        answered = True
		sys.stdout.write(shown.decode(errors="replace"))
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	EOF
}

@test "the terminal is asked for a password, which it does not show" {
	serve 'messages 1'
	account box 'password =' | write_config
	run at_terminal 'secret\n' "$BUILD/pophaul"
	assert_status 0
	assert_output_has 'Password for jane at 127.0.0.1: '
	refute_output_has secret
	assert_output_has '1 message'
	assert_equal "$(delivered)" 1
	run at_terminal '\x03' "$BUILD/pophaul"
	assert_status 75
	run at_terminal 'wrong\n' "$BUILD/pophaul"
	assert_status 77
	assert_equal "$(count_sessions)" 2
}

@test "a POP URL names mechanism and user, and its password comes from .netrc or the terminal" {
	serve 'messages 1' 'user jane@example.org'
	printf 'machine 127.0.0.1 login jane@example.org password secret\n' >.netrc
	chmod 600 .netrc
	run --separate-stderr pophaul --tls none --deliver "maildir:$HOME/Maildir" --state-dir "$STATE" \
		"pop://jane%40example.org;AUTH=LOGIN@127.0.0.1:$PORT"
	assert_status 0
	assert_equal "$(transcript | sed -n 2p)" 'AUTH LOGIN'
	rm .netrc
	run at_terminal 'secret\n' "$BUILD/pophaul" --tls none --deliver "maildir:$HOME/Maildir" --state-dir "$STATE" \
		"pop://jane%40example.org@127.0.0.1:$PORT"
	assert_status 0
	assert_equal "$(delivered)" 1
	assert_equal "$(transcript 2 | sed -n 2p)" 'AUTH CRAM-MD5'
}
