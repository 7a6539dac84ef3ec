# What all bats files share. `load helper` at the top of each.
#
# Every test has a home, XDG folders and state of its own below BATS_TEST_TMPDIR, servers
# on ports that the kernel chose, and nothing left afterwards. A file that needs a setup or
# teardown of its own calls default_setup or default_teardown in it.
#
# Servers must be started by the test's own shell, not in $(…) or a pipe: they end with
# the process that started them.

bats_require_minimum_version 1.5.0

TESTS=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
ROOT=${TESTS%/*}
BUILD=${BUILD:-$ROOT/build}
FAKEPOP=$BUILD/tests/fakepop/fakepop
HOST=127.0.0.1

default_setup() {
	export HOME=$BATS_TEST_TMPDIR/home
	export XDG_CONFIG_HOME=$HOME/.config XDG_STATE_HOME=$HOME/.local/state
	export XDG_CACHE_HOME=$HOME/.cache XDG_DATA_HOME=$HOME/.local/share
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime
	export LC_ALL=C.UTF-8 TZ=UTC
	unset SSLKEYLOGFILE NETRC MAILDIR CREDENTIALS_DIRECTORY NOTIFY_SOCKET
	CONF=$XDG_CONFIG_HOME/pophaul/pophaul.conf
	STATE=$BATS_TEST_TMPDIR/state
	SERVER_PIDS=() SERVER_DIRS=() FAKEPOP_COUNT=0 PUT_COUNT=0
	POPHAUL=$BATS_TEST_TMPDIR/pophaul
	mkdir -p "${CONF%/*}" "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR"
	ln -sf "$BUILD/pophaul" "$POPHAUL"
	chmod 700 "$HOME" "$XDG_RUNTIME_DIR"
	cd "$HOME" || return 1
}

default_teardown() {
	stop_servers
}

setup() {
	default_setup
}

teardown() {
	default_teardown
}

# The program, which can never hang a test: POPHAUL_LIMIT seconds (60), then SIGTERM, then SIGKILL. It is run by a
# name of this test's own, POPHAUL, so that no_process_is_left knows it.
pophaul() {
	timeout -k 5 "${POPHAUL_LIMIT:-60}" "$POPHAUL" "$@"
}

# The same; peak_memory then says what it took.
pophaul_measured() {
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
		timeout -k 5 "${POPHAUL_LIMIT:-60}" "$TESTS/peak-memory" "$BATS_TEST_TMPDIR/peak" "$POPHAUL" "$@"
}

# "fetcher KB deliverer KB": the most that any process of either kind had resident in the last pophaul_measured.
peak_memory() {
	cat "$BATS_TEST_TMPDIR/peak"
}

# Leaks cannot be looked for in a program that is traced.
strace() {
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 command strace "$@"
}

# ---- assertions: each says what was there instead ----

fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# The exit status of the last `run`.
assert_status() {
	[ "$status" -eq "$1" ] ||
		fail "status is $status, not $1" "output: $output" "stderr: ${stderr-(in output)}"
}

assert_output_has() {
	[[ $output == *"$1"* ]] || fail "output lacks: $1" "output: $output" "stderr: ${stderr-}"
}

refute_output_has() {
	[[ $output != *"$1"* ]] || fail "output should not have: $1" "output: $output"
}

assert_output_is() {
	[[ $output == "$1" ]] || fail "output should be: $1" "output: $output"
}

# An extended regular expression that one line of the output matches.
assert_output_matches() {
	grep -Eq -e "$1" <<<"$output" || fail "no line of the output matches: $1" "output: $output"
}

# After `run --separate-stderr`.
assert_stderr_has() {
	[[ ${stderr-} == *"$1"* ]] || fail "stderr lacks: $1" "stderr: ${stderr-}" "output: $output"
}

refute_stderr_has() {
	[[ ${stderr-} != *"$1"* ]] || fail "stderr should not have: $1" "stderr: ${stderr-}"
}

# assert_equal GOT WANTED
assert_equal() {
	[[ $1 == "$2" ]] || fail 'wanted (-) and got (+):' "$(diff -u0 <(printf '%s\n' "$2") <(printf '%s\n' "$1") | tail -n +3)"
}

# assert_memory_below MIB: of each process in the last pophaul_measured, which must have had both kinds. A
# sanitizer's own memory is not the program's: then only that they ran is looked at.
assert_memory_below() {
	local fetcher deliverer

	read -r _ fetcher _ deliverer < <(peak_memory)
	[ "$fetcher" -gt 0 ] && [ "$deliverer" -gt 0 ] || fail "not measured: $(peak_memory)" || return
	! grep -q __asan_init "$BUILD/pophaul" || return 0
	[ "$fetcher" -le $(($1 * 1024)) ] && [ "$deliverer" -le $(($1 * 1024)) ] ||
		fail "more than $1 MiB: $(peak_memory)"
}

# The number of files in these folders together; folders that are missing have none.
count_files() {
	find "$@" -type f 2>/dev/null | wc -l
}

# Whether none of the program's processes that this test began as POPHAUL goes on. Their names are all that
# an ordinary user sees of them: they are not dumpable, so that the kernel hides their environment.
no_process_is_left() {
	local process name

	for process in /proc/[0-9]*; do
		name=
		{ IFS= read -r -d '' name <"$process/cmdline"; } 2>/dev/null || :
		[ "$name" != "$POPHAUL" ] || return
	done
}

# Nothing half-done in the Maildir, and no process.
leaves_nothing_behind() {
	assert_equal "$(count_files Maildir/tmp)" 0
	wait_until 10 no_process_is_left
}

# wait_until SECONDS COMMAND…: until the command succeeds; fails when the time is over.
wait_until() {
	local limit=$((SECONDS + $1))

	shift
	until "$@"; do
		[ "$SECONDS" -le "$limit" ] || fail "waited in vain for: $*" || return
		sleep 0.02
	done
}

# ---- certificates ----

# One private CA and one certificate (localhost, 127.0.0.1, ::1) a suite, made when they are
# first wanted: CA_FILE, CERT_FILE, KEY_FILE; CERT_DIR has the rest (ca.key).
make_certs() {
	CERT_DIR=${BATS_SUITE_TMPDIR:-$BATS_RUN_TMPDIR}/certs
	CA_FILE=$CERT_DIR/ca.pem CERT_FILE=$CERT_DIR/server.pem KEY_FILE=$CERT_DIR/server.key
	[ -e "$CERT_DIR/done" ] && return
	mkdir -p "$CERT_DIR"
	(
		flock 9
		[ -e "$CERT_DIR/done" ] && exit
		make_ca "$CERT_DIR/ca" && make_cert "$CERT_DIR/server" "$CERT_DIR/ca" \
			'dns_name = "localhost"' 'ip_address = "127.0.0.1"' 'ip_address = "::1"' &&
			: >"$CERT_DIR/done"
	) 9>"$CERT_DIR/lock" || fail 'cannot make certificates'
}

run_certtool() {
	certtool "$@" >>"$CERT_DIR/certtool.log" 2>&1 || fail "certtool $*" "$(tail "$CERT_DIR/certtool.log")"
}

# make_ca PREFIX: PREFIX.pem and PREFIX.key, valid for 30 years.
make_ca() {
	printf '%s\n' 'cn = "pophaul test CA"' ca cert_signing_key 'expiration_days = 11000' >"$1.template"
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$1.key" &&
		run_certtool --generate-self-signed --load-privkey "$1.key" --template "$1.template" \
			--outfile "$1.pem"
}

# make_cert PREFIX CA-PREFIX TEMPLATE-LINE…: a server's certificate; a line
# 'expiration_days = …' or 'expiration_date = …' among them replaces the 30 years.
make_cert() {
	local prefix=$1 ca=$2

	shift 2
	printf '%s\n' 'cn = "pophaul test server"' tls_www_server signing_key "$@" >"$prefix.template"
	grep -q '^expiration_da' "$prefix.template" || echo 'expiration_days = 11000' >>"$prefix.template"
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$prefix.key" &&
		run_certtool --generate-certificate --load-privkey "$prefix.key" \
			--load-ca-certificate "$ca.pem" --load-ca-privkey "$ca.key" \
			--template "$prefix.template" --outfile "$prefix.pem"
}

# ---- servers ----

# Everything that was started, by pid; then their folders.
stop_servers() {
	local pid

	for pid in "${SERVER_PIDS[@]}"; do
		kill "$pid" 2>/dev/null || :
	done
	for pid in "${SERVER_PIDS[@]}"; do
		wait "$pid" 2>/dev/null || :
	done
	SERVER_PIDS=()
	[ "${#SERVER_DIRS[@]}" -eq 0 ] || rm -rf -- "${SERVER_DIRS[@]}"
	SERVER_DIRS=()
}

# start_fakepop OPTION…: the bundled server (fakepop/README), on a free port. A lone "-" among the
# options reads a script from standard input; --tls and --stls without files use the
# suite's certificate. Sets PORT, SERVER_TLS (none, starttls, implicit: as `tls` in an
# account), TRANSCRIPT and FAKEPOP_PID. Several may run: save PORT before the next.
start_fakepop() {
	local base=$BATS_TEST_TMPDIR/fakepop-$((++FAKEPOP_COUNT)) args=() limit

	SERVER_TLS=none
	while [ $# -gt 0 ]; do
		case $1 in
		-)
			cat >"$base.script"
			args+=(--script "$base.script")
			;;
		--tls | --stls)
			[ "$1" = --tls ] && SERVER_TLS=implicit || SERVER_TLS=starttls
			if [ -e "${2-}" ]; then
				args+=("$1" "$2" "$3")
				shift 2
			else
				make_certs
				args+=("$1" "$CERT_FILE" "$KEY_FILE")
			fi
			;;
		*) args+=("$1") ;;
		esac
		shift
	done
	TRANSCRIPT=$base.transcript
	: >"$TRANSCRIPT"
	"$FAKEPOP" "${args[@]}" --ready "$base.ready" --transcript "$TRANSCRIPT" \
		</dev/null >"$base.log" 2>&1 3>&- &
	FAKEPOP_PID=$!
	SERVER_PIDS+=("$FAKEPOP_PID")
	limit=$((SECONDS + 30))
	until [ -e "$base.ready" ]; do
		kill -0 "$FAKEPOP_PID" 2>/dev/null || fail "fakepop has ended" "$(cat "$base.log")" || return
		[ "$SECONDS" -le "$limit" ] || fail 'fakepop does not get ready' || return
		sleep 0.01
	done
	PORT=$(<"$base.ready")
}

# serve LINE…: fakepop with these lines of script.
serve() {
	local args=() line

	for line in "$@"; do
		args+=(-e "$line")
	done
	start_fakepop "${args[@]}"
}

# mails SUBJECT…: MAILS is lines of script, a message each.
mails() {
	local n

	MAILS=()
	for n in "$@"; do
		MAILS+=("message \"Subject: $n\\n\\ntext of $n\\n\"")
	done
}

# The subjects in the Maildir, sorted; a message that is not octet by octet what mails() made is DAMAGED.
mails_here() {
	local file subject

	for file in Maildir/new/*; do
		[ -e "$file" ] || continue
		subject=$(sed -n '1s/^Subject: //p' "$file")
		printf 'Subject: %s\n\ntext of %s\n' "$subject" "$subject" | cmp -s - "$file" || subject=DAMAGED
		echo "$subject"
	done | sort -V | paste -sd ' '
}

# serve_anew LINE…: as serve, for an account that begins anew.
serve_anew() {
	rm -rf Maildir "$STATE"
	stop_servers
	serve "$@"
}

# The client's lines of session N (1), as fakepop got them; of the latest server. Without STAT: it stands
# behind messages and deletions to prove the order of the replies, and is a matter of few tests.
transcript() {
	transcript_whole "$@" | { grep -vx STAT || :; }
}

transcript_whole() {
	sed -n "s/^${1:-1}> //p" "$TRANSCRIPT"
}

# How session N (1) went: "connect", "tls …", "deleted N UID", "end WHY flights=F".
transcript_events() {
	sed -n "s/^${1:-1}\* //p" "$TRANSCRIPT"
}

# assert_transcript [N] <<EOF: the client's lines of session N, whole.
assert_transcript() {
	assert_equal "$(transcript "${1:-1}")" "$(cat)"
}

# asked N VERB: the arguments that session N sent with VERB, in its order.
asked() {
	transcript "$1" | sed -n "s/^$2 //p" | paste -sd ' '
}

# The number of sessions that began.
count_sessions() {
	grep -c '^[0-9]*\* connect$' "$TRANSCRIPT" || :
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Whether a line that begins with +OK comes from this port at once, in clear.
answers() {
	local line

	{ exec 8<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return
	IFS= read -r -t 5 line <&8 || line=
	exec 8>&-
	[[ $line == +OK* ]]
}

write_dovecot_config() {
	local user=$1 group=$2 login=$3

	cat <<-EOF
		base_dir = $DOVECOT_DIR/run
		state_dir = $DOVECOT_DIR/state
		log_path = $DOVECOT_DIR/log
		protocols = pop3
		listen = 127.0.0.1
		default_internal_user = $login
		default_internal_group = $(id -gn "$login")
		default_login_user = $login
		first_valid_uid = 1
		first_valid_gid = 1
		mail_location = maildir:~/Maildir
		mail_max_userip_connections = 1000
		disable_plaintext_auth = no
		auth_mechanisms = plain login cram-md5 apop scram-sha-1 scram-sha-256
		auth_failure_delay = 0
		ssl = yes
		ssl_cert = <$CERT_FILE
		ssl_key = <$KEY_FILE
		ssl_min_protocol = TLSv1.2
		passdb {
		  driver = passwd-file
		  args = scheme=PLAIN username_format=%u $DOVECOT_DIR/users
		}
		userdb {
		  driver = static
		  args = uid=$user gid=$group home=$DOVECOT_DIR/mail/%u
		}
		service anvil {
		  chroot =
		}
		service stats {
		  chroot =
		}
		service pop3 {
		  process_limit = 400
		}
		service pop3-login {
		  chroot =
		  service_count = 0
		  client_limit = 500
		  inet_listener pop3 {
		    port = $PORT
		  }
		  inet_listener pop3s {
		    port = $PORTS
		    ssl = yes
		  }
		}
	EOF
	cat "$DOVECOT_DIR/extra"
}

# start_dovecot [CONFIGURATION-LINE…]: a real Dovecot with the users jane, joe and ann (password
# "secret"), more by add_dovecot_user; STLS and clear on PORT, implicit TLS on PORTS. Works as root (mail belongs to
# nobody, as Dovecot serves no mail of root's) and as an ordinary user. DOVECOT_DIR/log has its log.
start_dovecot() {
	local me user group login try

	command -v dovecot >/dev/null || PATH=$PATH:/usr/sbin:/usr/local/sbin
	make_certs
	me=$(id -un)
	user=$me group=$(id -gn) login=$me
	# Its socket names and its other users need a short path that others may pass.
	DOVECOT_DIR=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-dovecot.XXXXXX")
	SERVER_DIRS+=("$DOVECOT_DIR")
	chmod 711 "$DOVECOT_DIR"
	mkdir -m 755 "$DOVECOT_DIR/mail"
	printf '%s\n' "$@" >"$DOVECOT_DIR/extra"
	if [ "$me" = root ]; then
		user=nobody group=$(id -gn nobody) login=nobody
	fi
	DOVECOT_OWNER=$user:$group
	: >"$DOVECOT_DIR/users"
	chmod 644 "$DOVECOT_DIR/users"
	for try in jane joe ann; do
		add_dovecot_user "$try"
	done
	# Another process may take a port between its choice and its use.
	for try in 1 2 3 4 5; do
		PORT=$(free_port) PORTS=$(free_port)
		write_dovecot_config "$user" "$group" "$login" >"$DOVECOT_DIR/conf"
		run_dovecot && return
	done
	fail 'Dovecot does not start' "$(cat "$DOVECOT_DIR/log" "$DOVECOT_DIR/errors")"
}

run_dovecot() {
	local limit=$((SECONDS + 20))

	setpriv --pdeathsig TERM dovecot -F -c "$DOVECOT_DIR/conf" \
		</dev/null >"$DOVECOT_DIR/errors" 2>&1 3>&- &
	DOVECOT_PID=$!
	until answers "$PORT"; do
		if ! kill -0 "$DOVECOT_PID" 2>/dev/null || [ "$SECONDS" -gt "$limit" ]; then
			kill "$DOVECOT_PID" 2>/dev/null || :
			wait "$DOVECOT_PID" 2>/dev/null || :
			return 1
		fi
		sleep 0.02
	done
	SERVER_PIDS+=("$DOVECOT_PID")
	SERVER_TLS=starttls
}

# add_dovecot_user USER [PASSWORD]
add_dovecot_user() {
	printf '%s:%s\n' "$1" "${2:-secret}" >>"$DOVECOT_DIR/users"
	mkdir -p "$DOVECOT_DIR/mail/$1/Maildir"/{cur,new,tmp}
	chown -R "$DOVECOT_OWNER" "$DOVECOT_DIR/mail/$1"
}

# The last login that Dovecot let in: "USER MECHANISM". Its log is another process's: wait for it.
let_in() {
	sed -n 's/.*Login: user=<\([^>]*\)>, method=\([^,]*\),.*/\1 \2/p' "$DOVECOT_DIR/log" | tail -n 1
}

let_in_is() {
	[ "$(let_in)" = "$1" ]
}

# put_messages FOLDER USER: the folder's files, by name, into the Dovecot user's maildrop, behind what is there.
put_messages() {
	PUT_COUNT=$(python3 - "$1" "$DOVECOT_DIR/mail/$2/Maildir/new" "$PUT_COUNT" <<-'EOF'
		import os, shutil, sys
		folder, new, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
		owner = os.stat(new)
		for name in sorted(os.listdir(folder)):
		    if name.startswith(".") or name == "README":
		        continue
		    count += 1
		    unique = "1700000000.M%07dP%d.test" % (count, os.getppid())
		    path = os.path.join(os.path.dirname(new), "tmp", unique)
		    shutil.copyfile(os.path.join(folder, name), path)
		    os.chmod(path, 0o600)
		    os.chown(path, owner.st_uid, owner.st_gid)
		    os.rename(path, os.path.join(new, unique))
		print(count)
	EOF
	)
}

# ---- accounts and what arrived ----

# write_config <<EOF: the standard configuration file, CONF, with this test's state folder at its end.
write_config() {
	cat >"$CONF"
	printf 'state-dir = "%s"\n' "$STATE" >>"$CONF"
	chmod 600 "$CONF"
}

# account NAME [LINE…]: an account section for the server started last, user jane. A line given replaces the
# usual one of the same key; a key with nothing behind its "=" only takes it out. Root's commands have to be said
# to be root's.
account() {
	local name=$1 line key given=" "

	shift
	printf 'account "%s" {\n' "$name"
	for line in "$@"; do
		key=${line%%[ =]*}
		given+="$key "
		[[ $line =~ =\ *$ ]] || printf '\t%s\n' "$line"
	done
	[[ $(id -u) -ne 0 || $given == *" run-as "* || " $*" != *' deliver = '[\"\']pipe:* ]] || printf '\trun-as = "root"\n'
	while IFS= read -r line; do
		key=${line%% *}
		[[ $given == *" $key "* ]] || printf '\t%s\n' "$line"
	done <<-EOF
		host = "$HOST"
		port = $PORT
		tls = "$SERVER_TLS"
		user = "jane"
		password = "secret"
		deliver = "maildir:$HOME/Maildir"
		$([ "$SERVER_TLS" = none ] || printf 'tls-trust-file = "%s"' "$CA_FILE")
	EOF
	echo '}'
}

# use LINE…: the configuration is the account "home", for the server started last.
use() {
	account home "$@" | write_config
}

# poll OPTION…: a run of the program, looked at as after `run --separate-stderr`.
poll() {
	run --separate-stderr pophaul "$@"
}

# later +TIME COMMAND…: with the clock put forward (or back).
later() {
	local time=$1 library

	shift
	library=$(faketime -f +0 printenv LD_PRELOAD)
	FAKETIME=$time LD_PRELOAD=$library \
		ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 "$@"
}

# The SHA-256 of each message in a Maildir's new/ and cur/, sorted.
maildir_digests() {
	find "$1/new" "$1/cur" -type f -exec sha256sum {} + 2>/dev/null | cut -d ' ' -f 1 | sort
}

# The same of a folder of messages as a POP3 server hands them out: CRLF as LF, a last line
# without an end ended.
folder_digests() {
	python3 - "$1" <<-'EOF'
		import hashlib, os, sys
		digests = []
		for name in os.listdir(sys.argv[1]):
		    if name.startswith(".") or name == "README":
		        continue
		    with open(os.path.join(sys.argv[1], name), "rb") as file:
		        text = file.read().replace(b"\r\n", b"\n")
		    if text and not text.endswith(b"\n"):
		        text += b"\n"
		    digests.append(hashlib.sha256(text).hexdigest())
		print("\n".join(sorted(digests)))
	EOF
}

# assert_maildir_has FOLDER MAILDIR: exactly the folder's messages are in the Maildir, each once, octet by octet.
assert_maildir_has() {
	assert_equal "$(maildir_digests "$2")" "$(folder_digests "$1")"
}

# corpus FOLDER: the sample messages, and those made at test time (corpus/README), into the new folder.
corpus() {
	mkdir -p "$1"
	cp "$TESTS"/corpus/*.eml "$1"
	"$TESTS/make-large" "$1"
}
