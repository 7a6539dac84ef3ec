#!/usr/bin/env bats
# The configuration file, through the program: what it accepts, what it refuses and with which
# words, and that nothing is polled then. Not here: "cannot open", which root never sees, in
# place of which a loop of links stands; and /etc/pophaul/pophaul.conf, which a test must not write.

load helper

setup() {
	default_setup
	start_fakepop -e 'messages 1'
	POLLABLE="account \"good\" { host = \"$HOST\" port = $PORT tls = none user = jane password = 'secret'
		deliver = \"maildir:$HOME/Maildir\" }"
}

nothing_was_polled() {
	[ "$(count_sessions)" -eq 0 ] || fail 'something was polled'
	[ "$(count_files "$HOME/Maildir")" -eq 0 ] || fail 'something was delivered'
}

# refuses PROBLEM… <<EOF: exactly these problems ("LINE: text") are told of the file, whose first line
# is the one given first; an account that could be polled stands at its end, and is not.
refuses() {
	local wanted='' problem

	{
		cat
		printf '%s\n' "$POLLABLE"
	} >"$CONF"
	chmod 600 "$CONF"
	for problem in "$@"; do
		wanted+=${wanted:+$'\n'}$CONF:$problem
	done
	run --separate-stderr pophaul
	assert_status 78 || return
	assert_equal "$stderr" "$wanted" || return
	assert_equal "$output" '' || return
	nothing_was_polled
}

# refuses_key LINE-OF-AN-ACCOUNT TEXT: of an account that is right but for this line.
refuses_key() {
	local key=${1%%[ =]*} usual=$'host = "h"\nuser = "u"\ndeliver = "maildir:/m"' line

	refuses "2: $key: $2" <<-EOF
		account "a" {
		$1
		$(while IFS= read -r line; do [[ $line == "$key "* ]] || printf '%s\n' "$line"; done <<<"$usual")
		}
	EOF
}

# accepts <<EOF: pophaul -t has nothing to say against it.
accepts() {
	cat >"$CONF"
	chmod 600 "$CONF"
	run --separate-stderr pophaul -t
	assert_status 0
	assert_equal "$stderr" ''
}

@test "a configuration that is right is polled" {
	write_config <<<"$POLLABLE"
	run --separate-stderr pophaul
	assert_status 0
	[ "$(count_files Maildir/new)" -eq 1 ]
	[ -e "$STATE/good.uidl" ]
}

@test "the sample configuration works after its three lines are edited" {
	start_fakepop --tls -e 'messages 3'
	sed -e "s|host = \"pop.example.org\"|host = \"$HOST\" port = $PORT tls-trust-file = \"$CA_FILE\"|" \
		-e 's|user = "jane"|user = "jane" password = "secret"|' \
		-e "s|^\tdeliver = \"maildir:~/Maildir\"|\tdeliver = \"maildir:~/Mail\"|" \
		"$ROOT/sample.conf" >"$CONF"
	chmod 600 "$CONF"
	assert_equal "$(diff "$ROOT/sample.conf" "$CONF" | grep -c '^>')" 3
	run --separate-stderr pophaul -t
	assert_output_is "$CONF: 1 account, no errors"
	run --separate-stderr pophaul --state-dir "$STATE"
	assert_status 0
	assert_equal "$stderr$output" ''
	[ "$(count_files Mail/new)" -eq 3 ]
}

@test "every line of the sample configuration that is commented out is right" {
	local key count=0

	while IFS= read -r key; do
		count=$((count + 1))
		# What stands once outside of comments cannot stand twice.
		sed -e "s|^\(\t*\)# \($key\)$|\1\2|" "$ROOT/sample.conf" >"$CONF"
		cmp -s "$CONF" "$ROOT/sample.conf" && fail "not uncommented: $key"
		[[ $key != deliver* ]] || sed -i "/deliver = \"maildir/d" "$CONF"
		# Who runs this may be root, whose commands need it; others can name nobody else.
		[[ $key != run-as* ]] || sed -i "s/run-as = .*/run-as = \"$(id -un)\"/" "$CONF"
		[[ $key != *pipe:* ]] || sed -i "s/# run-as = .*/run-as = \"$(id -un)\"/" "$CONF"
		[[ $key != tls-key* ]] || sed -i 's/# tls-cert =/tls-cert =/' "$CONF"
		[[ $key != include* ]] || mkdir -p "${CONF%/*}/conf.d"
		chmod 600 "$CONF"
		run pophaul -t
		[ "$status" -eq 0 ] || fail "$key" "$output"
	done < <(sed -nE 's/^\t*# ([a-z-]+ = .*)$/\1/p' "$ROOT/sample.conf" | sed 's/[.*[]/\\&/g')
	[ "$count" -ge 24 ]
}

@test "the configuration is found in XDG_CONFIG_HOME, else below HOME" {
	local elsewhere=$BATS_TEST_TMPDIR/elsewhere

	write_config <<<"$POLLABLE"
	mkdir -p "$elsewhere/pophaul" "$elsewhere/.config/pophaul"
	XDG_CONFIG_HOME=$elsewhere run pophaul -t
	assert_status 78
	assert_output_has "there is no configuration: create '$elsewhere/pophaul/pophaul.conf' as pophaul.conf(5) shows, or name a POP URL"
	cp "$CONF" "$elsewhere/pophaul"
	XDG_CONFIG_HOME=$elsewhere run pophaul -t
	assert_output_is "$elsewhere/pophaul/pophaul.conf: 1 account, no errors"
	cp "$CONF" "$elsewhere/.config/pophaul"
	unset XDG_CONFIG_HOME
	HOME=$elsewhere run pophaul -t
	assert_output_is "$elsewhere/.config/pophaul/pophaul.conf: 1 account, no errors"
	# A folder that is no absolute path counts as none.
	HOME=$elsewhere XDG_CONFIG_HOME=relative run pophaul -t
	assert_output_is "$elsewhere/.config/pophaul/pophaul.conf: 1 account, no errors"
}

# make_away: AWAY has a copy of the program, the configuration and a home, for an ordinary user: AS_USER in
# front of a command makes root the user nobody.
make_away() {
	AWAY=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-away.XXXXXX")
	SERVER_DIRS+=("$AWAY")
	mkdir "$AWAY/home"
	cp "$BUILD/pophaul" "$AWAY/pophaul"
	cp "$CONF" "$AWAY/conf"
	chmod 600 "$AWAY/conf"
	AS_USER=()
	[ "$(id -u)" -eq 0 ] || return 0
	chown -R nobody "$AWAY"
	AS_USER=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
}

@test "the state is kept in XDG_STATE_HOME, else below HOME" {
	cat >"$CONF" <<<"${POLLABLE/"$HOME"/"~"}"
	make_away
	timeout -k 5 30 "${AS_USER[@]}" env -u XDG_STATE_HOME HOME="$AWAY/home" "$AWAY/pophaul" -c "$AWAY/conf"
	[ -e "$AWAY/home/.local/state/pophaul/good.uidl" ]
	rm -r "$AWAY/home/.local"
	timeout -k 5 30 "${AS_USER[@]}" env XDG_STATE_HOME="$AWAY/state" HOME="$AWAY/home" \
		"$AWAY/pophaul" -c "$AWAY/conf"
	[ -e "$AWAY/state/pophaul/good.uidl" ]
	[ ! -e "$AWAY/home/.local" ]
}

@test "without a home there is neither a configuration nor a place for the state, which is said" {
	[ "$(id -u)" -eq 0 ] || skip 'only root can be a user that does not exist'
	cp "$BUILD/pophaul" "${AWAY:=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-away.XXXXXX")}"
	SERVER_DIRS+=("$AWAY")
	cat >"$AWAY/conf" <<<"${POLLABLE/password = \'secret\'/}"
	chmod 755 "$AWAY"
	chmod 644 "$AWAY/conf"
	stranger() {
		timeout -k 5 30 setpriv --reuid 54321 --regid 54321 --clear-groups \
			env -u HOME -u XDG_STATE_HOME -u XDG_CONFIG_HOME "$AWAY/pophaul" "$@"
	}
	run stranger -c "$AWAY/conf"
	assert_status 78
	assert_output_is "$AWAY/conf: there is no home for a 'state-dir': HOME is not set and you are not in the list of users"
	run stranger --deliver "mbox:$AWAY/box" "pop://jane@$HOST:$PORT"
	assert_status 78
	assert_output_is 'pophaul: HOME is not set: say with --state-dir where to keep the state'
	run stranger
	assert_status 78
	assert_output_is "pophaul: there is no configuration: create '/etc/pophaul/pophaul.conf' as pophaul.conf(5) shows, or name a POP URL"
}

@test "a file that is missing, a folder, no file, too big, binary or unreachable is told by name" {
	run --separate-stderr pophaul -c "$HOME/none"
	assert_status 78
	assert_equal "$stderr" "$HOME/none: no such file: create it as pophaul.conf(5) shows, with an account in it"
	run --separate-stderr pophaul -c "$HOME"
	assert_status 78
	assert_equal "$stderr" "$HOME: '$HOME' is a folder, not a file"
	mkfifo fifo
	run --separate-stderr pophaul -c "$HOME/fifo"
	assert_status 78
	assert_equal "$stderr" "$HOME/fifo: '$HOME/fifo' is not a regular file"
	ln -s loop loop
	run --separate-stderr pophaul -c "$HOME/loop"
	assert_status 78
	assert_equal "$stderr" "$HOME/loop: cannot open '$HOME/loop': Too many levels of symbolic links"
	truncate -s 17M big
	run --separate-stderr pophaul -c "$HOME/big"
	assert_status 78
	assert_equal "$stderr" "$HOME/big: '$HOME/big' is bigger than 16777216 octets"
	printf 'jobs = 1\nper-host = 2\0\n' >nul
	run --separate-stderr pophaul -c nul
	assert_status 78
	assert_equal "$stderr" 'nul:2: NUL octet: this is no text file'
	: >empty
	run --separate-stderr pophaul -c empty
	assert_status 78
	assert_equal "$stderr" 'empty: there is no account in it'
}

@test "all errors of a file are told in one run, each with its line" {
	refuses "1: unknown key 'jbos', did you mean 'jobs'?" \
		"4: port: '70000' is out of range (1 to 65535)" \
		"5: keep: '14x' has an unknown unit 'x': s, m, h, d or w" \
		"8: deliver: unknown kind of destination 'maildri', did you mean 'maildir'?" \
		"9: received: 'maybe' is neither yes nor no" \
		"6: account 'two' has no 'host': the server's name or address" <<-'EOF'
			jbos = 3
			account "one" {
				host = "h" user = "u" deliver = "mbox:/m"
				port = 70000
				keep = "14x" }
			account "two" {
				user = "u"
				deliver = "maildri:~/Maildir"
				received = maybe
			}
		EOF
}

@test "a hundred errors are told, and that there are more" {
	{
		for ((i = 0; i < 150; i++)); do echo "k$i = 1"; done
		echo "$POLLABLE"
	} >"$CONF"
	chmod 600 "$CONF"
	run --separate-stderr pophaul
	assert_status 78
	[ "$(wc -l <<<"$stderr")" -eq 101 ]
	assert_equal "$(tail -n 1 <<<"$stderr")" "$CONF: more errors are not shown"
	nothing_was_polled
}

@test "with --log-format json the errors of a file are objects" {
	printf 'jobs = 0\n%s\n' "$POLLABLE" >"$CONF"
	chmod 600 "$CONF"
	run --separate-stderr pophaul --log-format json
	assert_status 78
	python3 -c 'import json, sys; o = json.loads(sys.argv[1]); assert o["level"] == "error"
assert o["text"] == sys.argv[2], o' "$stderr" "$CONF:1: jobs: '0' is out of range (1 to 1000)"
}

@test "a section's brace, title and end are told when they are missing" {
	refuses "1: section 'account' lacks its opening brace" "2: '}' closes nothing" <<-'EOF'
		account "a"
		}
	EOF
	refuses "1: missing title for section 'account'" <<<'account { }'
	refuses "1: missing opening brace for section 'defaults'" <<<'defaults "x" { }'
	refuses '2: section opened here is not closed before the next, in line 4' <<-'EOF'

		account "a" {
			host = "h" user = "u" deliver = "mbox:/m"
	EOF
	POLLABLE='' refuses '1: section opened here is never closed' <<<'account "a" { host = "h"'
	refuses "1: unknown section 'acount', did you mean 'account'?" <<<'acount "a" { host = "h" }'
	refuses "1: unknown section 'server'" <<<'server "a" { host = "h" }'
}

@test "what is no assignment is told" {
	refuses "1: 'jobs' is not followed by '='" <<<'jobs 4'
	refuses '1: unexpected "jobs"' <<<'"jobs"'
	refuses "1: unexpected '='" <<<'='
	refuses "1: 'jobs' has no value" <<<$'jobs =\nper-host = 2'
	refuses "2: 'user' has no value" <<<$'account "a" {\nuser =\n}'
	refuses "1: the value of 'state-dir' needs quotes" <<<'state-dir = ${HOME}'
	refuses "1: the value of 'include' needs quotes" <<<'include = conf.d/*.conf'
	refuses "1: text behind the closing quote of 'jobs'" <<<'jobs = "4"x'
	refuses '1: string opened here is not closed on its line' <<<'state-dir = "/state'
	refuses '2: string opened here is not closed on its line' <<<$'jobs = 4\n"abc'
	refuses "1: '#' directly behind a word: put the value in quotes, or a blank before the comment" <<<'jobs = 4#x'
	POLLABLE='' refuses '2: comment opened here is never closed' '1: section opened here is never closed' <<-'EOF'
		account "a" {
		/* the rest }
	EOF
}

@test "a list is told where it is wrong" {
	refuses '2: unexpected LOGIN in the list of '\''auth'\' <<<$'account "a" { host = h user = u deliver = "mbox:/m"
	auth = { PLAIN LOGIN } }'
	refuses '2: auth: the list is empty' <<<$'account "a" { host = h user = u deliver = "mbox:/m"\nauth = { } }'
	refuses "2: 'keep' takes one value, not a list" <<<$'account "a" { host = h user = u deliver = "mbox:/m"\nkeep = { "never" } }'
	POLLABLE='' refuses '2: list opened here is never closed' '1: section opened here is never closed' \
		<<<$'account "a" {\nauth = { PLAIN'
	refuses_key 'auth = { PLAIN, auto }' "'auto' stands alone"
	refuses_key 'auth = { PLAIN, CRAM-MD6 }' "'CRAM-MD6' is unknown, did you mean 'CRAM-MD5'? (SCRAM-SHA-512-PLUS, SCRAM-SHA-384-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-224-PLUS, SCRAM-SHA-1-PLUS, SCRAM-SHA-512, SCRAM-SHA-384, SCRAM-SHA-256, SCRAM-SHA-224, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN, USER, APOP, EXTERNAL, GSSAPI, GS2-KRB5, GSS-SPNEGO, OAUTHBEARER, XOAUTH2, DIGEST-MD5, NTLM)"
	refuses_key 'auth = "RPA"' "'RPA' is none of: SCRAM-SHA-512-PLUS, SCRAM-SHA-384-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-224-PLUS, SCRAM-SHA-1-PLUS, SCRAM-SHA-512, SCRAM-SHA-384, SCRAM-SHA-256, SCRAM-SHA-224, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN, USER, APOP, EXTERNAL, GSSAPI, GS2-KRB5, GSS-SPNEGO, OAUTHBEARER, XOAUTH2, DIGEST-MD5, NTLM"
}

@test "a key at the wrong place, twice, or unknown is told" {
	refuses "1: 'host' cannot stand outside of sections: it belongs in an account" <<<'host = "h"'
	refuses "1: 'user' cannot stand in 'defaults': it belongs in an account" <<<'defaults { user = "u" }'
	refuses "1: 'jobs' cannot stand in 'defaults': it belongs outside of sections" <<<'defaults { jobs = 4 }'
	refuses "2: 'per-host' cannot stand in an account: it belongs outside of sections" <<<$'account "a" {\nper-host = 4 }'
	refuses "3: 'keep' is given twice, first in $CONF:1" <<<$'defaults { keep = "30d" }\n\ndefaults { keep = "never" }'
	refuses "2: 'jobs' is given twice, first in $CONF:1" <<<$'jobs = 2\njobs = 2'
	refuses "2: unknown key 'max_size', did you mean 'max-size'?" <<<$'account "a" {\nmax_size = 4 }'
	refuses "1: unknown key 'frobnicate'" <<<'frobnicate = 4'
	# Of an unknown key only what a terminal can bear is shown.
	refuses "1: unknown key '\\x1b[31mx'" <<<$'\e[31mx = 4'
}

@test "an account's name, its source of a password and what it must have are checked" {
	refuses "1: 'a b' is no account name: it has 1 to 200 letters, digits and . _ @ + -, and does not begin with . or -" \
		<<<'account "a b" { host = "h" user = "u" deliver = "mbox:/m" }'
	refuses "1: '../x' is no account name: it has 1 to 200 letters, digits and . _ @ + -, and does not begin with . or -" \
		<<<'account "../x" { host = "h" user = "u" deliver = "mbox:/m" }'
	refuses "3: there is another account 'good', in $CONF:1" <<<"$POLLABLE"
	refuses "1: account 'a' has both 'password' and 'password-file': a password or token has one source" \
		<<<'account "a" { host = "h" user = "u" deliver = "mbox:/m" password = "x" password-file = "/f" }'
	refuses "1: account 'a' has both 'password-command' and 'credential': a password or token has one source" \
		<<<'account "a" { host = "h" user = "u" deliver = "mbox:/m" credential = "x" password-command = "f" }'
	refuses "1: account 'a' has no 'host': the server's name or address" <<<'account "a" { user = "u" deliver = "mbox:/m" }'
	refuses "1: account 'a' has no 'user': the login name" <<<'account "a" { host = "h" deliver = "mbox:/m" }'
	refuses "1: account 'a' has no 'deliver': maildir:PATH, mbox:PATH or pipe:COMMAND" <<<'account "a" { host = "h" user = "u" }'
}

@test "numbers, ports, sizes, times and switches are told what is wrong with them" {
	refuses "1: jobs: '0' is out of range (1 to 1000)" <<<'jobs = 0'
	refuses "1: per-host: '1001' is out of range (1 to 1000)" <<<'per-host = 1001'
	refuses_key 'port = 0' "'0' is out of range (1 to 65535)"
	refuses_key 'port = 70000' "'70000' is out of range (1 to 65535)"
	refuses_key 'port = pop3' "'pop3' is not a number"
	refuses_key 'port = -1' "'-1' is negative"
	refuses_key 'max-messages = 99999999999999999999' "'99999999999999999999' is out of range (0 to 4294967295)"
	refuses_key 'max-size = big' "'big' is not a size (such as 10M)"
	refuses_key 'max-size = 10T' "'10T' has an unknown unit 'T': K, M or G"
	refuses_key 'max-size = 10MM' "'10MM' lacks a number before 'M'"
	refuses_key 'max-size = 99999999999999999999' "'99999999999999999999' is too big"
	refuses_key 'max-size = 99999999999G' "'99999999999G' is too big"
	refuses_key 'max-size = 17179869183G18446744073709551615' "'17179869183G18446744073709551615' is too big"
	refuses_key 'timeout = 60' "'60' lacks its unit: s, m, h, d or w"
	refuses_key 'timeout = soon' "'soon' is not a time (such as 30d)"
	refuses_key 'timeout = 0s' "'0s' is out of range (1s to 1d)"
	refuses_key 'pipe-timeout = 8d' "'8d' is out of range (1s to 7d)"
	refuses_key 'keep = 14x' "'14x' has an unknown unit 'x': s, m, h, d or w"
	refuses_key 'keep = 14' "'14' lacks its unit: s, m, h, d or w"
	refuses_key 'keep = always' "'always' is neither forever, never nor a time (such as 30d)"
	refuses_key 'keep = 0d' "'0d' is no time: write never"
	refuses_key 'keep = 99999w' "'99999w' is too long: write forever"
	refuses_key 'skip = perhaps' "'perhaps' is neither yes nor no"
	refuses_key 'tls = ssl' "'ssl' is none of: implicit, starttls, none"
	refuses_key 'tls = startls' "'startls' is unknown, did you mean 'starttls'? (implicit, starttls, none)"
}

@test "names, paths, texts and commands are told what is wrong with them" {
	refuses_key 'host = "pop.example.org:995"' "'pop.example.org:995' is no host name or address (a port goes into 'port')"
	refuses_key 'host = "pöp.example.org"' "'p\\xc3\\xb6p.example.org' is no host name or address (write the xn-- form of international names)"
	refuses_key 'host = ""' 'is empty'
	refuses_key 'user = ""' 'is empty'
	refuses_key 'user = "jane\nDELE 1"' "'jane\\nDELE 1' has a control character (such as a line end)"
	refuses_key 'password = "one\ntwo"' 'has a line end in it'
	refuses_key 'password-file = ""' 'is empty'
	refuses_key 'credential = ""' 'is empty'
	refuses_key 'credential = "../shadow"' "'../shadow' is no name of a file in a folder"
	refuses_key 'credential = "/etc/shadow"' "'/etc/shadow' is no name of a file in a folder"
	refuses_key 'credential = ".."' "'..' is no name of a file in a folder"
	refuses_key 'credential = "."' "'.' is no name of a file in a folder"
	refuses_key "credential = \"$(printf '%0256d' 0)\"" "'$(printf '%0200d' 0)...' is no name of a file in a folder"
	refuses_key 'password-file = "secret"' "'secret' is a relative path: it must begin with / or ~/"
	refuses "1: state-dir: 'state' is a relative path: it must begin with / or ~/" <<<'state-dir = "state"'
	refuses_key 'tls-trust-file = "ca.pem"' "'ca.pem' is a relative path: it must begin with / or ~/"
	refuses_key 'password-command = " "' 'is empty'
	refuses_key "password-command = \"sh -c 'x\"" "'sh -c 'x' ends within a quote or behind a backslash"
	refuses_key 'user = "a\0b"' 'NUL in a string'
}

@test "a destination is told what is wrong with it" {
	refuses_key 'deliver = "Maildir"' "'Maildir' is not maildir:PATH, mbox:PATH or pipe:COMMAND"
	refuses_key 'deliver = "mboxx:/m"' "unknown kind of destination 'mboxx', did you mean 'mbox'?"
	refuses_key 'deliver = "imap:/m"' "unknown kind of destination 'imap': it is maildir, mbox or pipe"
	refuses_key 'deliver = "maildir:"' "'maildir:' has no path"
	refuses_key 'deliver = "maildir:Maildir"' "'Maildir' is a relative path: a maildir needs one that begins with / or ~/"
	refuses_key 'deliver = "mbox:mail/in"' "'mail/in' is a relative path: a mbox needs one that begins with / or ~/"
	refuses_key 'deliver = "pipe:"' "'pipe:' has no command"
	refuses_key 'deliver = "pipe:procmail -f %x"' "'%x' has an unknown placeholder: there are %a %u %h %s and %%"
	refuses_key 'deliver = "pipe:%s x"' "'%s': the command itself cannot have a placeholder"
	refuses_key 'deliver = "pipe:sh -c \"x"' "'sh -c \"x' ends within a quote or behind a backslash"
}

@test "a variable is replaced in double quotes, with a default, and told when it is not set" {
	export WHERE=$HOME/there
	accepts <<<"account \"a\" { host = h user = \"\${WHO:-joe}\" deliver = \"mbox:\${WHERE}/in\" }"
	write_config <<<"account \"a\" { host = \"$HOST\" port = $PORT tls = none user = \"\${WHO:-jane}\"
		password = \"\${SECRET}\" auth = PLAIN deliver = \"maildir:\${WHERE}/\${SUB:-in}\" }"
	SECRET=secret SUB=box run pophaul
	assert_status 0
	assert_equal "$(transcript | sed -n 's/^AUTH PLAIN //p' | base64 -d | tr '\0' ' ')" ' jane secret'
	[ "$(count_files there/box/new)" -eq 1 ]
	start_fakepop -e 'messages 1'
	refuses_key 'user = "${POPHAUL_TEST_NOT_SET}"' "variable 'POPHAUL_TEST_NOT_SET' is not set"
	refuses_key 'user = "${HOME"' "'\${' is never closed"
	# In single quotes it is text.
	accepts <<<"account \"a\" { host = h user = '\${NO}' deliver = \"mbox:/m\" }"
}

@test "comments may stand everywhere but in quotes" {
	accepts <<-'EOF'
		# one
		// two
		/* three
		   lines */ jobs /* a */ = /* b */ 4 // behind
		defaults /* x */ { # y
			auth /* z */ = { // in a list
				PLAIN, # behind a comma
				/* before */ LOGIN /* after */
			} // }
		} # }
		account /* t */ "a" /* not a title */ {
			host = "h" user = "u" deliver = "mbox:/m"
		}
	EOF
}

@test "signs of comments in quotes are text, and lines are counted through comments" {
	accepts <<<'account "a" { host = "h" user = "a#b//c/*d*/" deliver = "mbox:/m" } /* end */'
	refuses "6: unknown key 'nonsense'" <<-'EOF'
		/* one
		two
		three */ jobs = 4 # four
		// five

		nonsense = 1 /*
		*/
	EOF
}

@test "two accounts of the manual's example, and defaults that stand behind, are understood" {
	mkdir -p "$HOME/.secrets"
	ME=$(id -un)
	export ME
	accepts <<-'EOF'
		jobs = 4
		account "home" {
			host = "pop.example.org"
			user = "jane"
			password-command = "pass show mail/home"
			deliver = "maildir:~/Maildir"
			keep = "never"
		}
		account "lists" {
			host = "mail.example.net"  tls = "starttls"
			user = "jane@example.net"
			password-file = "~/.secrets/lists"
			keep = "14d"
		}
		defaults { run-as = "${ME}" deliver = "pipe:procmail -f %s -d jane" password-command = "sh -c 'pass show mail/$POPHAUL_USER'" }
	EOF
	assert_output_is "$CONF: 2 accounts, no errors"
}

@test "include reads files and patterns relative to the including file, and ~" {
	local dir=${CONF%/*}

	mkdir "$dir/conf.d" "$HOME/more"
	printf 'include = "conf.d/*.conf"\ninclude = "~/more/c"\ninclude = "%s/more/d"\n' "$HOME" >"$CONF"
	printf 'account "one" { user = u }\n' >"$dir/conf.d/1.conf"
	printf 'include = "extra"\n' >"$dir/conf.d/2.conf"
	printf 'account "two" { user = u }\n' >"$dir/conf.d/extra"
	printf 'defaults { host = "h" }\n' >"$HOME/more/c"
	printf 'defaults { deliver = "mbox:/m" }\n' >"$HOME/more/d"
	run pophaul -t
	assert_output_is "$CONF: 2 accounts, no errors"
	cd "$dir"
	run pophaul -t -c pophaul.conf
	assert_output_is 'pophaul.conf: 2 accounts, no errors'
	# An error is told with the name of its own file.
	printf '\nbogus = 1\n' >>"$dir/conf.d/extra"
	run pophaul -t
	assert_status 78
	assert_output_is "$dir/conf.d/extra:3: unknown key 'bogus'"
}

@test "include tells of a file or folder that is missing, of loops and of too much depth" {
	local dir=${CONF%/*} i

	mkdir "$dir/empty"
	accepts <<<"include = \"empty/*.conf\" $POLLABLE"
	refuses "1: include: 'none.conf' does not exist" <<<'include = "none.conf"'
	refuses "1: include: cannot read the folder of 'none/*.conf': No such file or directory" <<<'include = "none/*.conf"'
	refuses "1: include: '$dir/pophaul.conf' includes itself in the end" <<<'include = "pophaul.conf"'
	echo 'include = "b"' >"$dir/a"
	echo 'include = "a"' >"$dir/b"
	{ echo 'include = "a"' && echo "$POLLABLE"; } >"$CONF"
	run --separate-stderr pophaul
	assert_status 78
	assert_equal "$stderr" "$dir/b:1: include: '$dir/a' includes itself in the end"
	for ((i = 1; i < 9; i++)); do
		echo "include = \"$((i + 1))\"" >"$dir/$i"
	done
	: >"$dir/9"
	{ echo 'include = "1"' && echo "$POLLABLE"; } >"$CONF"
	run --separate-stderr pophaul
	assert_status 78
	assert_equal "$stderr" "$dir/8:1: include: '$dir/9' would be included more than 8 files deep"
	nothing_was_polled
	# Eight are not too many.
	: >"$dir/8"
	chmod 600 "$CONF"
	run pophaul -t
	assert_status 0
}

@test "a password in a file that others can read or that others can write is refused" {
	write_config <<<"$POLLABLE"
	for mode in 640 604 644; do
		chmod $mode "$CONF"
		run --separate-stderr pophaul
		assert_status 78
		assert_equal "$stderr" "$CONF:1: a password stands here and other users can read the file: chmod 600 it"
	done
	chmod 602 "$CONF"
	run --separate-stderr pophaul
	assert_status 78
	assert_equal "$stderr" "$CONF: other users can write this file: chmod go-w it"
	nothing_was_polled
	# Without a password anybody may read it.
	write_config <<<"${POLLABLE/password = \'secret\'/}"
	chmod 644 "$CONF"
	run pophaul -t
	assert_status 0
	# Nor does the password show in a message about its value.
	write_config <<<"${POLLABLE/\'secret\'/\"hidden\\nhidden\"}"
	run pophaul
	assert_status 78
	refute_output_has hidden
}

@test "a password in a file of another user is refused" {
	[ "$(id -u)" -eq 0 ] || skip 'only root can give a file away'
	write_config <<<"$POLLABLE"
	chown nobody "$CONF"
	run --separate-stderr pophaul
	assert_status 78
	assert_equal "$stderr" "$CONF:1: a password stands here and the file belongs to another user"
	write_config <<<"${POLLABLE/password = \'secret\'/password-file = \"$HOME\/secret\"}"
	chown root "$CONF"
	echo secret >secret
	chmod 600 secret
	chown nobody secret
	run --separate-stderr pophaul
	assert_status 78
	assert_stderr_has "pophaul: good: '$HOME/secret' has a password and the file belongs to another user"
	nothing_was_polled
}

# fails_for_password SOURCE STATUS TEXT: with that line as the source of its password, the account ends so.
fails_for_password() {
	write_config <<<"${POLLABLE/password = \'secret\'/$1}"
	run --separate-stderr pophaul
	assert_status "$2" || return
	assert_equal "$stderr" "pophaul: good: $3" || return
	nothing_was_polled
}

@test "a password file is read, and told what is wrong with it" {
	local file=$HOME/secret

	fails_for_password "password-file = \"$file\"" 78 "cannot open '$file': No such file or directory"
	: >"$file"
	chmod 600 "$file"
	fails_for_password "password-file = \"$file\"" 78 "'$file': the password is empty"
	printf 'a\rb\n' >"$file"
	fails_for_password "password-file = \"$file\"" 78 "'$file': the password has a line end or NUL in it"
	printf 'secret\r\nother lines\n' >"$file"
	chmod 640 "$file"
	fails_for_password "password-file = \"$file\"" 78 "'$file' has a password and other users can read the file: chmod 600 it"
	chmod 600 "$file"
	run pophaul
	assert_status 0
	[ "$(count_files Maildir/new)" -eq 1 ]
}

@test "a password command is run without a shell, with the account in its environment" {
	write_config <<<"${POLLABLE/password = \'secret\'/password-command = \"sh -c \'echo \$POPHAUL_ACCOUNT \$POPHAUL_HOST \$POPHAUL_USER >env; echo secret; echo more\'\"}"
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(cat env)" "good $HOST jane"
	[ "$(count_files Maildir/new)" -eq 1 ]
}

@test "a password command that fails is told, and what it said against it is seen" {
	fails_for_password 'password-command = "sh -c '\''exit 3'\''"' 77 "password-command 'sh': exited with status 3"
	fails_for_password "password-command = \"sh -c 'head -c 70000 /dev/zero | tr \\\\\\\\0 x'\"" 78 \
		"password-command 'sh': the password is longer than 65536 octets"
	fails_for_password 'password-command = "true"' 78 "password-command 'true': the password is empty"
	fails_for_password 'password-command = "sh -c '\''kill -9 $$'\''"' 77 \
		"password-command 'sh': was killed by signal 9 (Killed)"
	write_config <<<"${POLLABLE/password = \'secret\'/password-command = \"/nonexistent\/pass\"}"
	run --separate-stderr pophaul
	assert_status 77
	assert_stderr_has "cannot run '/nonexistent/pass': No such file or directory"
	assert_stderr_has "password-command '/nonexistent/pass': exited with status 127"
	nothing_was_polled
}

@test "an account's own source of a password takes the place of that in the defaults" {
	write_config <<<"defaults { password-command = \"false\" } $POLLABLE"
	run --separate-stderr pophaul
	assert_status 0
	[ "$(count_files Maildir/new)" -eq 1 ]
}

@test "without a source, ~/.netrc has the password, unless others can read it" {
	write_config <<<"${POLLABLE/password = \'secret\'/}"
	printf 'machine other login jane password wrong\nmachine %s\n\tlogin jane password secret\n' "$HOST" >"$HOME/.netrc"
	chmod 644 "$HOME/.netrc"
	run --separate-stderr pophaul
	assert_status 78
	assert_stderr_has "'$HOME/.netrc' has a password and other users can read the file: chmod 600 it"
	nothing_was_polled
	chmod 600 "$HOME/.netrc"
	run --separate-stderr pophaul
	assert_status 0
	[ "$(count_files Maildir/new)" -eq 1 ]
}

@test "without any password and without a terminal, that is said before anything is polled" {
	write_config <<-EOF
		$POLLABLE
		${POLLABLE//good/bare}
	EOF
	sed -i "/bare/s/password = 'secret'//" "$CONF"
	run --separate-stderr setsid -w timeout -k 5 30 "$BUILD/pophaul"
	assert_status 78
	assert_equal "$stderr" "pophaul: bare: there is no password for jane at $HOST, and no terminal to ask for it"
	nothing_was_polled
}

@test "every key of the option table is in the manual and in the sample, and nothing else is" {
	local table manual sample

	# A key that does not exist makes the program name the nearest; all of them are known to -t.
	manual=$(sed -nE 's/^\.It Ic ([a-z-]+) Li =.*/\1/p' "$ROOT/man/pophaul.conf.5" | sort -u)
	sample=$(sed -nE 's/^\t*(# )?([a-z-]+) = .*/\2/p' "$ROOT/sample.conf" | sort -u)
	table=$(sed -nE 's/^\t\{"([a-z-]+)", OPTION_.*/\1/p' "$ROOT/src/config/option.c" | sort -u)
	[ "$(wc -l <<<"$table")" -ge 25 ]
	assert_equal "$manual" "$table"
	assert_equal "$sample" "$table"
}

@test "the defaults that the manual tells are those of the option table" {
	local key preset said count=0

	while read -r key preset; do
		count=$((count + 1))
		said=$(sed -n "/^\.It Ic $key Li/,/^\.It Ic/p" "$ROOT/man/pophaul.conf.5" | tr '\n' ' ' |
			sed 's/\.Cm //g; s/\.Pq //g')
		[[ $said == *"efault is $preset"[.:,\ ]* || $said == *" $preset , the default"* || $said == *"$preset ,  the default"* ]] ||
			fail "$key: the manual does not say that its default is $preset" "$said"
	done < <(tr '\n' ' ' <"$ROOT/src/config/option.c" | grep -oE '\{"[a-z-]+", OPTION_[^}]*\}' |
		sed -nE 's/^\{"([a-z-]+)".*,[[:space:]]+"([^"]+)",[[:space:]]+"[^"]*"\}$/\1 \2/p')
	[ "$count" -ge 16 ]
}
