#!/usr/bin/env bats
# OAuth 2: OAUTHBEARER and XOAUTH2, where tokens come from, what a server says against them, and who
# gets to see them. And administrators, who log in on behalf of others.

load helper

setup() {
	default_setup
	SASL='OAUTHBEARER XOAUTH2 PLAIN'
	TOKEN=ya29.a0AfB_byD-tok3n~of+jane/x==
	printf '%s\n' "$TOKEN" >token
	chmod 600 token
	mkdir folder
	printf 'Subject: hello\n\nHello.\n' >folder/1.eml
}

# fetch [LINE…]: poll the account "home" of these lines, without a password; OPTIONS are the program's.
fetch() {
	account home 'password =' "$@" | write_config
	poll "${OPTIONS[@]}"
}

# fetch_by SCRIPT [LINE…]: with a token-command that runs this script of sh, whose lines count themselves in "calls".
fetch_by() {
	printf 'echo called >>%s/calls\n%s\n' "$HOME" "$1" >"$HOME/command"
	: >calls
	shift
	fetch "token-command = \"sh $HOME/command\"" "$@"
}

calls() {
	wc -l <"$HOME/calls"
}

# serve_tokens LINE…: fakepop with TLS, the mechanisms SASL and one message, for an account that begins anew. An
# -ERR without a code is a refused login, as on the servers of the providers.
serve_tokens() {
	local args=() line

	stop_servers
	rm -rf "$STATE" Maildir
	for line in 'message "Subject: hello\n\nHello.\n"' 'capa -SASL' "capa +SASL $SASL" 'capa -AUTH-RESP-CODE' "$@"; do
		args+=(-e "$line")
	done
	start_fakepop --tls "${args[@]}"
}

# A response in base64, as fakepop got it.
bearer() {
	printf 'n,a=%s,\001host=%s\001port=%s\001auth=Bearer %s\001\001' "${2:-jane}" "$HOST" "$PORT" "$1" | base64 -w 0
}

xoauth2() {
	printf 'user=jane\001auth=Bearer %s\001\001' "$1" | base64 -w 0
}

challenge() {
	printf '%s' "$1" | base64 -w 0
}

# Dovecot with its oauth2 passdb, which checks tokens by itself: whoever has the KEY makes them. Master
# users are "admin" and, by "user*admin", one name of two.
start_dovecot_oauth() {
	OAUTH_DIR=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-oauth.XXXXXX")
	SERVER_DIRS+=("$OAUTH_DIR")
	KEY=0123456789abcdef0123456789abcdef
	mkdir -p "$OAUTH_DIR/default/HS256"
	printf '%s' "$KEY" | base64 -w 0 >"$OAUTH_DIR/default/HS256/default"
	echo 'admin:{PLAIN}master' >"$OAUTH_DIR/masters"
	printf '%s\n' 'introspection_mode = local' "local_validation_key_dict = fs:posix:prefix=$OAUTH_DIR/" \
		'username_attribute = sub' >"$OAUTH_DIR/oauth2.conf"
	chmod -R a+rX "$OAUTH_DIR"
	start_dovecot 'auth_mechanisms = plain login cram-md5 scram-sha-256 oauthbearer xoauth2' \
		'auth_master_user_separator = *' \
		'passdb {' 'driver = oauth2' 'mechanisms = oauthbearer xoauth2' "args = $OAUTH_DIR/oauth2.conf" '}' \
		'passdb {' 'driver = passwd-file' "args = $OAUTH_DIR/masters" 'master = yes' '}' \
		'service anvil {' 'unix_listener anvil-auth-penalty {' 'mode = 0' '}' '}'
}

# make_token USER [LIFE [FILLING]]: one that Dovecot takes for USER's, for LIFE seconds (3600), FILLING octets longer.
make_token() {
	python3 - "$KEY" "$1" "${2:-3600}" "${3:-0}" <<-'PY'
		import base64, hashlib, hmac, json, sys, time
		key, user, life, filling = sys.argv[1].encode(), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
		def part(data):
		    return base64.urlsafe_b64encode(data).rstrip(b"=")
		now = int(time.time())
		body = {"sub": user, "iat": now - 7200, "exp": now + life, "scope": "mail", "filling": "x" * filling}
		text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(body).encode())
		print((text + b"." + part(hmac.new(key, text, hashlib.sha256).digest())).decode())
	PY
}

# ---- a real server ----

@test "Dovecot lets in by OAUTHBEARER and XOAUTH2, long ones too, and by no token that is expired or another's" {
	start_dovecot_oauth
	put_messages folder jane
	make_token jane >token
	fetch "token-file = \"$HOME/token\""
	assert_status 0
	wait_until 10 let_in_is 'jane OAUTHBEARER'
	assert_equal "$(count_files Maildir/new)" 1
	fetch_by 'cat token' 'auth = "XOAUTH2"' "tls = \"implicit\"" "port = $PORTS"
	assert_status 0
	wait_until 10 let_in_is 'jane XOAUTH2'
	assert_equal "$(calls)" 1

	# Dovecot takes no more than 8 KiB of a response, in base64.
	make_token jane 3600 4300 >token
	[ "$(wc -c <token)" -gt 5800 ]
	for auth in XOAUTH2 OAUTHBEARER; do
		fetch "token-file = \"$HOME/token\"" "auth = \"$auth\""
		assert_status 0
		wait_until 10 let_in_is "jane $auth"
	done

	make_token jane -60 >expired
	for auth in OAUTHBEARER XOAUTH2; do
		: >"$DOVECOT_DIR/log"
		fetch_by 'cat expired' "auth = \"$auth\""
		assert_status 77
		assert_stderr_has "the server refused the login with $auth: \"[AUTH] Authentication failed.\" (of the token it says: "
		[[ $stderr == *'status "invalid_token")'* || $stderr == *'status "401", scope "mail")'* ]]
		assert_equal "$(calls)" 2
		refused() { grep -q 'auth failed, 1 attempts' "$DOVECOT_DIR/log"; }
		wait_until 10 refused
		# The token was the same again: no second login.
		assert_equal "$(grep -c 'auth failed' "$DOVECOT_DIR/log")" 1
	done

	make_token jane >token
	fetch_by '[ $(wc -l <calls) -gt 1 ] && cat token || cat expired'
	assert_status 0
	assert_equal "$stderr" ''
	assert_equal "$(calls)" 2
	make_token joe >token
	fetch "token-file = \"$HOME/token\""
	assert_status 77
}

@test "an administrator fetches the mail of another user from Dovecot, in one name or in two" {
	start_dovecot_oauth
	put_messages folder joe
	fetch 'user = "joe*admin"' 'password = "master"' 'auth = "USER"'
	assert_status 0
	wait_until 10 let_in_is 'joe PLAIN'
	assert_equal "$(count_files Maildir/new)" 1
	for auth in auto PLAIN SCRAM-SHA-256 '{ LOGIN, CRAM-MD5, PLAIN }'; do
		rm -rf "$STATE" Maildir
		[[ $auth == "{"* ]] || auth=\"$auth\"
		fetch 'user = "admin"' 'password = "master"' 'authorize-as = "joe"' "auth = $auth"
		assert_status 0
		assert_equal "$(count_files Maildir/new)" 1
	done
	fetch 'user = "admin"' 'password = "wrong"' 'authorize-as = "joe"'
	assert_status 77
	fetch 'user = "jane"' 'password = "secret"' 'authorize-as = "joe"' 'auth = "PLAIN"'
	assert_status 77
	fetch 'user = "joe"' 'password = "secret"' 'authorize-as = "jane"' 'auth = { "LOGIN", "CRAM-MD5", "USER", "APOP" }'
	assert_status 77
	assert_stderr_has 'APOP cannot log in on behalf of another user (authorize-as); PLAIN and SCRAM can'
}

@test "without a mechanism that can say whom it is for, nobody is logged in on behalf of another" {
	serve_tokens 'on AUTH send -ERR not this one' 'on USER send +OK'
	for auth in LOGIN CRAM-MD5 USER; do
		rm -rf "$STATE"
		fetch 'password = "secret"' 'authorize-as = "joe"' "auth = \"$auth\""
		assert_status 77
		assert_stderr_has "$auth cannot log in on behalf of another user (authorize-as); PLAIN and SCRAM can"
		assert_transcript "$(count_sessions)" <<<CAPA
	done
	fetch "token-file = \"$HOME/token\"" 'authorize-as = "joe"' 'auth = "XOAUTH2"'
	assert_status 77
	assert_stderr_has 'XOAUTH2 cannot log in on behalf of another user'
	assert_transcript "$(count_sessions)" <<<CAPA
	serve_tokens 'on AUTH OAUTHBEARER login; send +OK'
	fetch 'password = "secret"' 'authorize-as = "joe"'
	assert_status 0
	assert_equal "$(transcript | sed -n 2p)" "AUTH PLAIN $(printf 'joe\0jane\0secret' | base64)"
	rm -rf "$STATE"
	fetch "token-file = \"$HOME/token\"" 'authorize-as = "joe"'
	assert_status 0
	assert_equal "$(transcript 2 | sed -n 2p)" "AUTH OAUTHBEARER $(bearer "$TOKEN" joe)"
}

# ---- how a token is sent ----

@test "a short token goes with OAUTHBEARER in one line, XOAUTH2 always has two (pop3 rule 45)" {
	serve_tokens 'on AUTH login; send +OK'
	fetch "token-file = \"$HOME/token\"" 'host = "localhost"'
	assert_status 0
	HOST=localhost
	assert_equal "$(transcript | sed -n 2p)" "AUTH OAUTHBEARER $(bearer "$TOKEN")"
	HOST=127.0.0.1
	serve_tokens 'on AUTH send + ; expect /^[A-Za-z0-9+\/=]+$/; login; send +OK'
	fetch "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"'
	assert_status 0
	assert_equal "$(transcript | sed -n 2,3p)" "$(echo AUTH XOAUTH2; xoauth2 "$TOKEN")"
}

@test "tokens of 8 KB and of 64 KiB go whole, in a line of their own, and longer ones nowhere" {
	serve_tokens 'on /^AUTH [A-Z0-9]+$/ send + ; expect /^[A-Za-z0-9+\/=]+$/; login; send +OK'
	for length in 8192 65536; do
		python3 -c "print(('x.Y-' * 16384)[:$length])" >token
		for auth in OAUTHBEARER XOAUTH2; do
			fetch_by 'cat token' "auth = \"$auth\""
			assert_status 0
			transcript "$(count_sessions)" >lines
			assert_equal "$(sed -n 2p lines)" "AUTH $auth"
			sed -n 3p lines | base64 -d | tr '\001' '\n' | sed -n 's/^auth=Bearer //p' | cmp - token
		done
	done
	echo >>token
	sed -i '1s/^/x/' token
	before=$(count_sessions)
	fetch_by 'cat token'
	assert_status 78
	assert_stderr_has "token-command 'sh': the token is longer than 65536 octets"
	assert_equal "$(count_sessions)" "$before"
}

@test "a server that lists neither mechanism is not sent the token by another" {
	SASL='PLAIN LOGIN CRAM-MD5' serve_tokens
	fetch "token-file = \"$HOME/token\""
	assert_status 77
	assert_stderr_has 'no way to log in that both sides know (it lists " PLAIN LOGIN CRAM-MD5 ")'
}

@test "with a mechanism by name, one that the server refuses before the token makes room for the other" {
	SASL=XOAUTH2 serve_tokens 'on AUTH OAUTHBEARER send -ERR unknown mechanism' \
		'on AUTH XOAUTH2 send + ; expect /^[A-Za-z0-9+\/=]+$/; login; send +OK'
	fetch "token-file = \"$HOME/token\"" 'auth = { "OAUTHBEARER", "XOAUTH2" }'
	assert_status 0
	assert_equal "$(transcript | sed -n 2,3p)" $'AUTH OAUTHBEARER\nAUTH XOAUTH2'
}

# ---- what a server says against a token ----

# refusing CHALLENGE [ANSWER [REPLY]]: rules of fakepop: two steps, and a refusal whose reason stands in a challenge.
refusing() {
	printf 'on AUTH XOAUTH2 send + ; read; send + %s; expect %s; send %s' "$(challenge "$1")" "${2-/^$/}" "${3--ERR}"
}

GMAIL='{"status":"401","schemes":"Bearer","scope":"https://mail.google.com/"}'

@test "Gmail's 401 is shown and asks the command for a fresh token, once" {
	SASL='PLAIN XOAUTH2 OAUTHBEARER' serve_tokens "$(refusing "$GMAIL")"
	fetch_by 'echo "${POPHAUL_TOKEN-}" >>told; echo token$(wc -l <calls)' 'auth = "XOAUTH2"'
	assert_status 77
	# The second time it is told that what it keeps is of no use.
	assert_equal "$(<told)" $'\nrefused'
	assert_equal "$stderr" 'pophaul: home: the server refused the login with XOAUTH2: "" (of the token it says: status "401", scope "https://mail.google.com/")'
	assert_equal "$(calls)" 2
	assert_equal "$(count_sessions)" 2
	assert_equal "$(transcript 1 | sed -n 2,5p)" "$(echo AUTH XOAUTH2; xoauth2 token1; echo)"
	assert_equal "$(transcript 2 | sed -n 2,5p)" "$(echo AUTH XOAUTH2; xoauth2 token2; echo)"
}

@test "a fresh token is tried over another connection, and fetches the mail" {
	for last in 'send -ERR' 'send -ERR; drop' drop; do
		serve_tokens "once $(refusing "${GMAIL/401/400}" '/^$/' "x" | sed 's/; send x$//'); $last" \
			'on AUTH XOAUTH2 send + ; read; login; send +OK'
		OPTIONS=(-v)
		fetch_by 'echo token$(wc -l <calls)' 'auth = "XOAUTH2"'
		if [ "$last" = drop ]; then
			# Nobody knows what it would have said.
			assert_status 69
			assert_equal "$(calls)" 1
			continue
		fi
		assert_status 0
		assert_stderr_has 'status "400", scope "https://mail.google.com/"): asking for a fresh token'
		assert_equal "$(calls)" 2
		assert_equal "$(count_files Maildir/new)" 1
	done
}

@test "a token that is the same again is not tried again, nor is one whose scope does not reach" {
	serve_tokens "$(refusing "$GMAIL")"
	fetch_by 'cat token' 'auth = "XOAUTH2"'
	assert_status 77
	assert_equal "$(calls)" 2
	assert_equal "$(count_sessions)" 1
	for word in insufficient_scope 403; do
		serve_tokens "$(refusing "{\"status\":\"$word\",\"scope\":\"pop.read\"}")"
		fetch_by 'echo token$(wc -l <calls)' 'auth = "XOAUTH2"'
		assert_status 77
		assert_stderr_has "(of the token it says: status \"$word\", scope \"pop.read\")"
		assert_equal "$(calls)" 1
		assert_equal "$(count_sessions)" 1
	done
}

@test "a command that fails the second time is said, and so is what the server said" {
	serve_tokens "$(refusing "$GMAIL")"
	fetch_by '[ $(wc -l <calls) -gt 1 ] && exit 3; cat token' 'auth = "XOAUTH2"'
	assert_status 77
	assert_stderr_has "no fresh token: token-command 'sh': exited with status 3"
	assert_stderr_has 'the server refused the login with XOAUTH2'
	assert_equal "$(count_sessions)" 1
}

@test "a token-file is read again, and its token tried when it is another one" {
	for change in yes no; do
		rm -f arrived go
		serve_tokens "once on AUTH XOAUTH2 send + ; read; touch $HOME/arrived; await $HOME/go; send -ERR [AUTH] expired" \
			'on AUTH XOAUTH2 send + ; read; login; send +OK'
		account home 'password =' "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"' | write_config
		pophaul >out 2>&1 &
		SERVER_PIDS+=($!)
		wait_until 10 test -e arrived
		[ "$change" = no ] || echo fresh >token
		touch go
		status=0
		wait "${SERVER_PIDS[-1]}" || status=$?
		output=$(<out)
		if [ "$change" = yes ]; then
			assert_status 0
			assert_equal "$(transcript 2 | sed -n 3p)" "$(xoauth2 fresh)"
		else
			assert_status 77
			assert_equal "$(count_sessions)" 1
		fi
	done
}

@test "a server in trouble is tried later, with no other token now" {
	serve_tokens "$(refusing "$GMAIL" '/^$/' '-ERR [SYS/TEMP] try later')"
	OPTIONS=(-v)
	fetch_by 'echo token$(wc -l <calls)' 'auth = "XOAUTH2"'
	assert_status 75
	assert_stderr_has '"[SYS/TEMP] try later" (of the token it says: status "401"'
	assert_equal "$(calls)" 1
	serve_tokens 'on AUTH send -ERR [IN-USE] another session'
	fetch_by 'echo token$(wc -l <calls)'
	assert_status 75
	assert_equal "$(calls)" 1
}

@test "OAUTHBEARER acknowledges a refusal with one octet, and success behind one is a lie (pop3 rules 48, 56, 57)" {
	serve_tokens "on AUTH OAUTHBEARER send + $(challenge '{"status":"invalid_token","scope":"a"}'); expect AQ==; send -ERR [AUTH] no"
	fetch "token-file = \"$HOME/token\""
	assert_status 77
	assert_stderr_has '"[AUTH] no" (of the token it says: status "invalid_token", scope "a")'
	serve_tokens "$(refusing "$GMAIL" '/^$/' '+OK')"
	fetch "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"'
	assert_status 77
	assert_stderr_has 'the server accepted the login before XOAUTH2 was complete: it did not prove who it is'
	serve_tokens "on AUTH XOAUTH2 send + ; read; send + $(challenge x); read; send + $(challenge y); expect *; send -ERR"
	fetch "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"'
	assert_status 77
	assert_stderr_has 'the server goes on after it refused the token'
	serve_tokens 'on AUTH XOAUTH2 send + ; read; send + {"status":"401"}; expect *; send -ERR'
	fetch "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"'
	assert_status 76
	assert_stderr_has "challenge of XOAUTH2: the server's challenge is not valid base64"
}

@test "what a server says of a token is quoted and short, whatever it is" {
	serve_tokens "$(refusing $'{"status":"\e[31mred","scope":"'"$(printf '%0500d' 0)"'"}')"
	fetch "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"'
	assert_status 77
	assert_stderr_has 'status "\x1b[31mred", scope "000000000'
	refute_stderr_has "$(printf '%0150d' 0)"
	serve_tokens "$(refusing 'not JSON')"
	fetch "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"'
	assert_stderr_has '(of the token it says: status "not JSON")'
	serve_tokens "$(refusing '{}')"
	fetch "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"'
	assert_equal "$stderr" 'pophaul: home: the server refused the login with XOAUTH2: ""'
}

@test "Exchange Online: two steps, its end of a connection that has one, and refusals without a reason" {
	EXCHANGE=('once on /^AUTH XOAUTH2 ./ send -ERR Protocol error. Connection is closed. 10; drop' 'capa -PIPELINING')
	SASL='PLAIN XOAUTH2' serve_tokens "${EXCHANGE[@]}" \
		'on AUTH XOAUTH2 send + ; expect /^[A-Za-z0-9+\/=]+$/; login; send +OK User successfully authenticated.'
	python3 -c 'print("eyJ0eXAi" * 250)' >token
	fetch "token-file = \"$HOME/token\""
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 1
	# Too many sessions look like a wrong password: a fresh token is tried once, and then it is over.
	SASL='PLAIN XOAUTH2' serve_tokens "${EXCHANGE[@]}" \
		'on AUTH XOAUTH2 send + ; read; send -ERR Authentication failure: unknown user name or bad password.'
	fetch_by 'echo token$(wc -l <calls)'
	assert_status 77
	assert_stderr_has 'the server refused the login with XOAUTH2: "Authentication failure: unknown user name or bad password."'
	assert_equal "$(calls)" 2
	assert_equal "$(count_sessions)" 2
	SASL='PLAIN XOAUTH2' serve_tokens "${EXCHANGE[@]}" 'on AUTH XOAUTH2 send + ; read; send -ERR Server Unavailable. 21'
	OPTIONS=(-v)
	fetch_by 'echo token$(wc -l <calls)'
	assert_equal "$(calls)" 1
	assert_status 75
}

@test "a signal ends the run while a fresh token is waited for" {
	serve_tokens "$(refusing "$GMAIL")"
	cat >"$HOME/command" <<-EOF
		echo called >>$HOME/calls
		[ \$(wc -l <$HOME/calls) -gt 1 ] || exec cat $HOME/token
		touch $HOME/waits
		exec sleep 60
	EOF
	: >calls
	account home 'password =' "token-command = \"sh $HOME/command\"" 'auth = "XOAUTH2"' | write_config
	timeout -k 5 60 "$POPHAUL" >out 2>&1 &
	SERVER_PIDS+=($!)
	wait_until 10 test -e waits
	kill "${SERVER_PIDS[-1]}"
	status=0
	wait "${SERVER_PIDS[-1]}" || status=$?
	output=$(<out)
	assert_status 75
	wait_until 10 no_process_is_left
}

# ---- where tokens come from ----

@test "token-command is run before each login, without a shell, with the account in its environment" {
	serve_tokens 'on AUTH login; send +OK'
	cat >give <<-'EOF'
		#!/bin/sh
		echo "$# $POPHAUL_ACCOUNT $POPHAUL_HOST $POPHAUL_USER" >>seen
		cat token
		echo more
	EOF
	chmod +x give
	for run in 1 2; do
		fetch "token-command = \"$HOME/give 'a b' \$x\""
		assert_status 0
	done
	assert_equal "$(<seen)" "2 home $HOST jane
2 home $HOST jane"
}

@test "what is no token is said, and nobody is connected to" {
	serve_tokens
	# The first is a command that ends well and prints nothing.
	while IFS='|' read -r script wanted text; do
		fetch_by "$script"
		assert_status "$wanted"
		assert_stderr_has "token-command 'sh': $text"
	done <<-'EOF'
		true|78|the token is empty
		echo; cat token|78|the token is empty
		echo '{"access_token":"x","expires_in":3599}'|78|what stands in the first line is no access token: it has blanks, quotes or other octets that no token has
		echo Bearer x|78|what stands in the first line is no access token
		printf 'a\001b\n'|78|what stands in the first line is no access token
		cat token; exit 1|77|exited with status 1
	EOF
	fetch 'token-command = "/nonexistent/command"'
	assert_status 77
	assert_stderr_has "token-command '/nonexistent/command': exited with status 127"
	fetch "token-file = \"$HOME/none\""
	assert_status 78
	assert_stderr_has "'$HOME/none'"
	chmod 640 token
	fetch "token-file = \"$HOME/token\""
	assert_status 78
	assert_stderr_has "'$HOME/token' has a token and other users can read the file: chmod 600 it"
	assert_equal "$(count_sessions)" 0
}

@test "a token never goes in clear, nor a password beside it" {
	start_fakepop -e 'capa +SASL OAUTHBEARER XOAUTH2'
	fetch "token-file = \"$HOME/token\""
	assert_status 78
	assert_stderr_has "account 'home': a token needs TLS, for whoever reads it is the user: set 'tls' to implicit or starttls"
	assert_equal "$(count_sessions)" 0
	serve_tokens
	fetch 'password = "secret"' "token-file = \"$HOME/token\""
	assert_status 78
	assert_stderr_has "account 'home' has both 'password' and 'token-file': a password or token has one source"
	fetch "token-file = \"$HOME/token\"" 'auth = { "XOAUTH2", "PLAIN" }'
	assert_status 78
	assert_stderr_has 'auth: PLAIN takes no token, and there is one: use OAUTHBEARER or XOAUTH2'
	fetch 'password = "secret"' 'auth = "XOAUTH2"'
	assert_status 78
	assert_stderr_has "auth: XOAUTH2 takes a token, not a password: set 'token-command' or 'token-file'"
}

# ---- who sees them ----

# A token that would be known again: none of its words stands in another text.
SECRET=Zq7xKv3mTr9wLp2nYs8dHf4jBc6gQe1u

# hides_token: the token is in nothing that was shown, whole, half, or in base64 wherever it begins.
hides_token() {
	local before

	refute_output_has "$SECRET"
	refute_output_has "${SECRET:0:16}"
	for before in '' x xx; do
		before=$(printf '%s' "$before$SECRET" | base64 -w 0)
		refute_output_has "${before:4:32}"
	done
}

@test "a token is in no output, even if the server repeats it, and in no argument and no environment" {
	local text session

	for text in "{\"status\":\"$SECRET\",\"scope\":\"x $SECRET\"}" "$SECRET"; do
		serve_tokens "on AUTH XOAUTH2 send + ; read; send + $(challenge "$text"); read; send -ERR [AUTH] bad $SECRET in $(xoauth2 "$SECRET")" \
			"on AUTH OAUTHBEARER send + $(challenge "x$text"); read; send -ERR $(bearer "$SECRET")"
		for session in XOAUTH2 OAUTHBEARER; do
			for option in '' '-vv --log-format json'; do
				rm -rf "$STATE"
				echo "$SECRET" >token
				account home 'password =' "token-file = \"$HOME/token\"" "auth = \"$session\"" | write_config
				run pophaul $option
				assert_status 77
				assert_output_has 'the server refused the login'
				hides_token
			done
		done
	done
	serve_tokens "on AUTH XOAUTH2 send + ; read; touch $HOME/arrived; await $HOME/go; login; send +OK"
	account home 'password =' "token-file = \"$HOME/token\"" 'auth = "XOAUTH2"' \
		"deliver = \"pipe:sh -c 'env >$HOME/environment; cat >/dev/null'\"" | write_config
	pophaul >out 2>&1 &
	SERVER_PIDS+=($!)
	wait_until 10 test -e arrived
	output=$(cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' ' ') || :
	touch go
	wait "${SERVER_PIDS[-1]}"
	assert_output_has "$POPHAUL"
	hides_token
	output=$(cat environment out)
	assert_output_has HOME=
	hides_token
}

# ---- contrib/oauth2 ----

# A provider's token end point over HTTPS: it answers with the file "answer" and notes each request in "requests".
start_provider() {
	make_certs
	cat >provider.py <<-'PY'
		import http.server, os, ssl, sys, urllib.parse
		class Handler(http.server.BaseHTTPRequestHandler):
		    def do_POST(self):
		        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
		        with open("requests", "a") as log:
		            print(self.path, self.headers.get("Authorization", "-"), urllib.parse.parse_qsl(body), file=log)
		        answer = open("answer", "rb").read()
		        self.send_response(400 if b"error" in answer else 200)
		        self.send_header("Content-Length", str(len(answer)))
		        self.end_headers()
		        self.wfile.write(answer)
		    def log_message(self, *args):
		        pass
		server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain(sys.argv[1], sys.argv[2])
		server.socket = context.wrap_socket(server.socket, server_side=True)
		with open("provider.new", "w") as ready:
		    print(server.server_port, file=ready)
		os.rename("provider.new", "provider.port")
		server.serve_forever()
	PY
	setpriv --pdeathsig TERM python3 provider.py "$CERT_FILE" "$KEY_FILE" </dev/null >provider.log 2>&1 3>&- &
	SERVER_PIDS+=($!)
	wait_until 20 test -s provider.port
	: >requests
	# What curl is called with is seen, and then it is called.
	mkdir -p bin
	printf '#!/bin/sh\nprintf "%%s\\n" "$@" >>%s\nexec %s "$@"\n' "$HOME/arguments" "$(command -v curl)" >bin/curl
	chmod +x bin/curl
	export CURL_CA_BUNDLE=$CA_FILE PATH=$HOME/bin:$PATH
}

# settings LINE…: HOME/settings, for the provider.
settings() {
	printf '%s\n' "token_endpoint = https://127.0.0.1:$(<provider.port)/t" "$@" >settings
	chmod 600 settings
}

oauth2_token() {
	run --separate-stderr timeout -k 5 30 "$ROOT/contrib/oauth2/oauth2-token" "$@"
}

@test "oauth2-token gets a token for a program itself, keeps it while it lives, and shows no secret" {
	start_provider
	settings 'client_id = the-client' 'client_secret = s3cr=t "q\uo&te" %' 'scope = https://outlook.office365.com/.default'
	printf '{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,\n"access_token":"eyJ0.a-b_c.d"}' >answer
	oauth2_token settings
	assert_equal "$stderr" ''
	assert_status 0
	assert_output_is eyJ0.a-b_c.d
	assert_equal "$(<requests)" "/t - [('client_id', 'the-client'), ('client_secret', 's3cr=t \"q\\\\uo&te\" %'), ('grant_type', 'client_credentials'), ('scope', 'https://outlook.office365.com/.default')]"
	assert_equal "$(stat -c %a settings.cache)" 600
	oauth2_token settings
	assert_output_is eyJ0.a-b_c.d
	assert_equal "$(wc -l <requests)" 1
	POPHAUL_TOKEN=refused oauth2_token settings
	assert_equal "$(wc -l <requests)" 2
	sed -i 's/^expires = .*/expires = 1000/' settings.cache
	oauth2_token settings
	assert_equal "$(wc -l <requests)" 3
	touch -d '+1 minute' settings
	oauth2_token settings
	assert_equal "$(wc -l <requests)" 4
	assert_equal "$(sort -u arguments)" $'-\n--config\n--disable'
}

@test "oauth2-token refreshes a user's token, and keeps the refresh token that it is given" {
	start_provider
	settings 'client_id = c' 'client_secret = s' 'refresh_token = first' 'client_auth = basic'
	echo '{"access_token" : "one", "expires_in" : "0", "refresh_token" : "second"}' >answer
	oauth2_token settings
	assert_output_is one
	assert_equal "$(<requests)" "/t Basic $(printf c:s | base64) [('grant_type', 'refresh_token'), ('refresh_token', 'first')]"
	echo '{"access_token":"two","expires_in":0}' >answer
	oauth2_token settings
	assert_output_is two
	assert_equal "$(tail -n 1 requests)" "/t Basic $(printf c:s | base64) [('grant_type', 'refresh_token'), ('refresh_token', 'second')]"
	grep -qx 'refresh_token = second' settings.cache
}

@test "oauth2-token says what is wrong: settings, the provider's refusal, no network" {
	start_provider
	settings 'client_id = c' 'client_secret = s'
	printf '{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\\u000d","error_codes":[7000215]}' >answer
	oauth2_token settings
	assert_status 77
	assert_output_is ''
	assert_stderr_has "/t' gives no token: invalid_client AADSTS7000215: Invalid client secret provided.\u000d"
	printf '{"error":"invalid_grant","error_description":"Token has been expired or revoked."}' >answer
	oauth2_token settings
	assert_stderr_has 'gives no token: invalid_grant Token has been expired or revoked.'
	[ ! -e settings.cache ]
	printf '<html>\e[31m' >answer
	oauth2_token settings
	assert_status 77
	assert_stderr_has 'its answer has no access token in it'
	CURL_CA_BUNDLE=/dev/null oauth2_token settings
	assert_status 75
	assert_stderr_has 'oauth2-token: curl failed with status'
	chmod 640 settings
	oauth2_token settings
	assert_status 78
	assert_stderr_has "other users can read 'settings': chmod 600 it"
	oauth2_token none
	assert_status 78
	oauth2_token
	assert_status 64
	while IFS='|' read -r lines text; do
		printf '%b' "$lines" >settings
		chmod 600 settings
		oauth2_token settings
		assert_status 78
		assert_stderr_has "$text"
	done <<-'EOT'
		client_id = c\n|has no token_endpoint that begins with https://
		token_endpoint = http://h/t\nclient_id = c\n|has no token_endpoint that begins with https://
		token_endpoint = https://h/t\nclient_secret = s\n|has no client_id
		token_endpoint = https://h/t\nclient_id = c\n|has neither a refresh_token nor a client_secret
		token_endpoint = https://h/t\nclient_id = c\nclient_secret = s\nclient_auth = x\n|client_auth is body or basic
		token_endpoint = https://h/t\nclient_id = c\nclient_secret = a\tb\n|client_secret has a control character
	EOT
}

@test "oauth2-token is a token-command: a token that the server refuses is got anew" {
	serve_tokens "once $(refusing "$GMAIL")" 'on AUTH XOAUTH2 send + ; read; login; send +OK'
	start_provider
	settings 'client_id = c' 'client_secret = s'
	printf '{"access_token":"fresh.token","expires_in":3600}' >answer
	printf 'expires = 9999999999\naccess_token = stale.token\n' >settings.cache
	fetch "token-command = \"env CURL_CA_BUNDLE=$CA_FILE $ROOT/contrib/oauth2/oauth2-token $HOME/settings\"" 'auth = "XOAUTH2"'
	assert_equal "$stderr" ''
	assert_status 0
	assert_equal "$(transcript 1 | sed -n 3p)" "$(xoauth2 stale.token)"
	assert_equal "$(transcript 2 | sed -n 3p)" "$(xoauth2 fresh.token)"
}
