#!/usr/bin/env bats
# Options that say whom TLS trusts, and as whom we come: pins, another name, revoked certificates, priority
# strings, our own certificate, and cleartext. The certificates of 70-certificates are refused without them.

load helper
load resolver

# One authority, and what is made with it, for all tests of the file: D.
setup_file() {
	export D=$BATS_FILE_TMPDIR/pki
	mkdir "$D"
	CERT_DIR=$D
	printf '%s\n' 'cn = "options CA"' ca cert_signing_key crl_signing_key ocsp_signing_key 'expiration_days = 11000' >"$D/ca.template"
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$D/ca.key"
	run_certtool --generate-self-signed --load-privkey "$D/ca.key" --template "$D/ca.template" --outfile "$D/ca.pem"
	make_cert "$D/server" "$D/ca" 'ip_address = "127.0.0.1"' 'serial = 1001'
	make_cert "$D/named" "$D/ca" 'dns_name = "pop.example.org"' 'serial = 1002'
	make_cert "$D/client" "$D/ca" 'dns_name = "client.example.org"' tls_www_client
	make_cert "$D/staple" "$D/ca" 'ip_address = "127.0.0.1"' 'serial = 1003' 'tls_feature = 5'
	printf 'V\t560101000000Z\t\t03EB\tunknown\t/CN=x\n' >"$D/index"
	openssl ocsp -index "$D/index" -CA "$D/ca.pem" -rsigner "$D/ca.pem" -rkey "$D/ca.key" -issuer "$D/ca.pem" \
		-cert "$D/staple.pem" -respout "$D/staple.ocsp" -ndays 9000 >"$D/openssl.log" 2>&1
	make_crl good 'crl_next_update = 11000' --load-certificate "$D/named.pem"
	make_crl revoking 'crl_next_update = 11000' --load-certificate "$D/server.pem"
	make_crl old 'crl_this_update_date = "2020-01-01 00:00:00 UTC"
crl_next_update_date = "2020-02-03 00:00:00 UTC"' --load-certificate "$D/named.pem"
	make_crl early 'crl_this_update_date = "2090-01-02 00:00:00 UTC"
crl_next_update_date = "2091-01-01 00:00:00 UTC"' --load-certificate "$D/named.pem"
}

# make_crl NAME TEMPLATE-TEXT OPTION…
make_crl() {
	local name=$1

	printf '%s\ncrl_number = 1\n' "$2" >"$D/$name.template"
	shift 2
	run_certtool --generate-crl --load-ca-certificate "$D/ca.pem" --load-ca-privkey "$D/ca.key" \
		--template "$D/$name.template" --outfile "$D/$name.crl" "$@"
}

setup() {
	default_setup
	OPTIONS=()
	CA_FILE=$D/ca.pem
}

# serve_as NAME [OPTION…]: fakepop through TLS with the certificate NAME.
serve_as() {
	local name=$1

	shift
	start_fakepop --tls "$D/$name.pem" "$D/$name.key" -e 'messages 1' "$@"
}

# fetch [LINE…]: poll an account of these lines, anew.
fetch() {
	rm -rf "$STATE" Maildir
	account box "$@" | write_config
	run --separate-stderr pophaul "${OPTIONS[@]}"
}

assert_refused() {
	assert_status 76
	assert_stderr_has "pophaul: box: '127.0.0.1': $1"
	assert_equal "$(transcript_whole "$(count_sessions)")" ''
}

assert_bad_option() {
	assert_status 78
	assert_stderr_has "$1"
	assert_equal "$(count_sessions)" 0
}

# The pin of a certificate by openssl, as hex.
pin_of() {
	openssl x509 -in "$D/$1.pem" -noout -pubkey | openssl pkey -pubin -outform der | sha256sum | cut -d ' ' -f 1
}

base64_pin_of() {
	printf 'sha256//%s' "$(openssl x509 -in "$D/$1.pem" -noout -pubkey | openssl pkey -pubin -outform der |
		openssl dgst -sha256 -binary | base64)"
}

# ---- pins ----

@test "a pin of the server's key is met in each of its forms, and beside a backup pin" {
	serve_as server
	hex=$(pin_of server)
	for pin in "\"$(base64_pin_of server)\"" "\"sha256:$hex\"" "\"$hex\"" "\"$(sed 's/../&:/g; s/:$//' <<<"${hex^^}")\"" \
		"{ \"$(pin_of ca)\", \"$hex\" }" "{ \"$hex\", \"$(pin_of ca)\" }"; do
		fetch "pin = $pin"
		assert_status 0
		assert_equal "$(count_files Maildir/new)" 1
	done
}

@test "a changed key behind a pin is refused, with the pin that the server has now (pop3 rule 41)" {
	for tls in --tls --stls; do
		start_fakepop "$tls" "$D/server.pem" "$D/server.key" -e 'messages 1'
		fetch "pin = { \"$(pin_of ca)\", \"$(pin_of named)\" }"
		assert_status 76
		assert_stderr_has "the server's key is none of those in 'pin': it has $(base64_pin_of server) now. A changed key may be an attack: put this one into 'pin' only when the server's administrator confirms it"
		run ! grep -q 'AUTH\|USER\|PASS' "$TRANSCRIPT"
	done
}

@test "a pin does not excuse a chain or a name that is wrong; pin-only does" {
	serve_as named
	pin="pin = \"$(pin_of named)\""
	fetch "$pin"
	assert_refused "the server's certificate is refused: it is for 'pop.example.org', not for '127.0.0.1'"
	make_certs
	fetch "$pin" "tls-trust-file = \"$CA_FILE\"" 'tls-host = "pop.example.org"'
	assert_refused "the server's certificate is refused: its issuer is unknown: 'CN=options CA'"
	fetch "$pin" 'pin-only = "yes"' "tls-trust-file = \"$CA_FILE\""
	assert_status 0
	fetch "$pin" 'pin-only = "yes"' 'tls-trust-file =' 'tls-crl-file = "/nonexistent"'
	assert_status 0
	fetch "pin = \"$(pin_of ca)\"" 'pin-only = "yes"' 'tls-trust-file ='
	assert_refused "the server's key is none of those in 'pin'"
}

@test "pin-only lets in a certificate that signs itself, whatever its name and dates" {
	CERT_DIR=$HOME
	printf '%s\n' 'cn = "alone"' 'activation_date = "2020-01-01 00:00:00 UTC"' 'expiration_date = "2021-02-03 00:00:00 UTC"' \
		>alone.template
	run_certtool --generate-self-signed --load-privkey "$D/server.key" --template alone.template --outfile alone.pem
	for tls in --tls --stls; do
		start_fakepop "$tls" alone.pem "$D/server.key" -e 'messages 1'
		fetch "pin = \"$(pin_of server)\"" 'tls-trust-file ='
		assert_status 76
		fetch "pin = \"$(pin_of server)\"" 'pin-only = "yes"' 'tls-trust-file ='
		assert_status 0
	done
}

@test "pin-only without a pin is an error of the configuration, and so is what is no pin" {
	serve_as server
	fetch 'pin-only = "yes"'
	assert_bad_option "account 'box': pin-only trusts nothing but 'pin', and there is none"
	fetch 'pin = "sha256//AAAA"'
	assert_bad_option "pin: 'sha256//AAAA' is no pin: write sha256// and 44 digits of Base64, or 64 hex digits"
}

# ---- sessions that go on ----

# twice [LINE…]: two runs, of which the second goes on with the TLS session of the first, in 1.3 and 1.2.
twice() {
	local version run

	for version in 1.3 1.2; do
		rm -rf "$STATE"
		start_fakepop --tls "$D/$NAME.pem" "$D/$NAME.key" "${SERVER_OPTIONS[@]}" -e 'messages 1' -e 'tls-tickets one' \
			-e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		account box "$@" | write_config
		for run in 1 2; do
			run --separate-stderr pophaul -v
			assert_status 0
		done
		assert_stderr_has ", TLS$version"
		assert_stderr_has ', resumed'
		stop_servers
	done
}

@test "a session that is resumed has the certificate to check pins, lists and a stapled answer by" {
	SERVER_OPTIONS=() NAME=server
	twice "pin = \"$(pin_of server)\"" "tls-crl-file = \"$D/good.crl\""
	NAME=named
	twice "pin = \"$(pin_of named)\"" 'pin-only = "yes"'
	NAME=staple SERVER_OPTIONS=(--ocsp "$D/staple.ocsp")
	twice
}

# ---- another name ----

@test "tls-host is the name that the certificate must bear, and the one that the server is asked for" {
	serve_as named
	fetch 'tls-host = "pop.example.org"'
	assert_status 0
	grep -q '^1\* name pop.example.org$' "$TRANSCRIPT"
	fetch 'tls-host = "other.example.org"'
	assert_refused "the server's certificate is refused: it is for 'pop.example.org', not for 'other.example.org' (if a name that it bears is the server's, set 'host' or 'tls-host')"
	serve_as server
	fetch 'tls-host = "127.0.0.1"'
	assert_status 0
	run ! grep -q ' name ' "$TRANSCRIPT"
	fetch 'tls-host = "pop.example.org"'
	assert_refused "the server's certificate is refused: it is for '127.0.0.1', not for 'pop.example.org'"
}

# ---- revoked certificates ----

@test "a certificate in tls-crl-file is refused, and one that is not is taken" {
	serve_as server
	fetch "tls-crl-file = \"$D/good.crl\""
	assert_status 0
	fetch "tls-crl-file = \"$D/revoking.crl\""
	assert_refused "the server's certificate is refused: it has been revoked by 'CN=options CA', says tls-crl-file '$D/revoking.crl': tell the server's administrator"
	cat "$D/good.crl" "$D/revoking.crl" >both.crl
	fetch "tls-crl-file = \"$HOME/both.crl\""
	assert_refused "the server's certificate is refused: it has been revoked by 'CN=options CA'"
}

@test "a list of revoked certificates that is out of its time, or not signed by its authority, is no use" {
	serve_as server
	fetch "tls-crl-file = \"$D/old.crl\""
	assert_refused "the server's certificate is refused: the list of revoked certificates of 'CN=options CA' in tls-crl-file '$D/old.crl' was to be replaced on 2020-02-03: get its present one"
	fetch "tls-crl-file = \"$D/early.crl\""
	assert_refused "the server's certificate is refused: the list of revoked certificates of 'CN=options CA' in tls-crl-file '$D/early.crl' is valid only from 2090-01-02: get its present one"
	# An authority of the same name with another key.
	CERT_DIR=$HOME
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile forger.key
	run_certtool --generate-self-signed --load-privkey forger.key --template "$D/ca.template" --outfile forger.pem
	run_certtool --generate-crl --load-ca-certificate forger.pem --load-ca-privkey forger.key \
		--template "$D/good.template" --outfile forged.crl --load-certificate "$D/named.pem"
	fetch "tls-crl-file = \"$HOME/forged.crl\""
	assert_refused "the server's certificate is refused: the list of revoked certificates of 'CN=options CA' in tls-crl-file '$HOME/forged.crl' is not signed as it should be: get its present one"
}

@test "a list of another authority's says nothing; a file that is none is an error of the configuration" {
	serve_as server
	CERT_DIR=$HOME
	sed 's/options CA/another CA/' "$D/ca.template" >another.template
	run_certtool --generate-self-signed --load-privkey "$D/ca.key" --template another.template --outfile another.pem
	run_certtool --generate-crl --load-ca-certificate another.pem --load-ca-privkey "$D/ca.key" \
		--template "$D/good.template" --outfile another.crl --load-certificate "$D/server.pem"
	fetch "tls-crl-file = \"$HOME/another.crl\""
	assert_status 0
	stop_servers
	serve_as server
	fetch 'tls-crl-file = "/nonexistent"'
	assert_bad_option "tls-crl-file: cannot open '/nonexistent': No such file or directory"
	fetch "tls-crl-file = \"$D/ca.pem\""
	assert_bad_option "tls-crl-file '$D/ca.pem' holds no list of revoked certificates in PEM format"
	: >empty
	fetch "tls-crl-file = \"$HOME/empty\""
	assert_bad_option "tls-crl-file '$HOME/empty' holds no list"
}

# ---- priority strings ----

@test "tls-priority chooses among what is safe" {
	serve_as server
	OPTIONS=(-v)
	fetch 'tls-priority = "-VERS-TLS1.3"'
	assert_status 0
	assert_stderr_has 'logged in with PLAIN, TLS1.2 '
	fetch 'tls-priority = "-CIPHER-ALL:+CHACHA20-POLY1305"'
	assert_status 0
	assert_stderr_has 'logged in with PLAIN, TLS1.3 CHACHA20-POLY1305'
	fetch 'tls-priority = "%PROFILE_HIGH"'
	assert_status 0
	fetch 'tls-priority = "%PROFILE_ULTRA"'
	assert_status 76
	assert_stderr_has 'has a key or signature too weak to be safe'
}

@test "tls-priority cannot bring back what is not safe" {
	serve_as server -e 'tls-priority NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT'
	fetch 'tls-priority = "+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT"'
	assert_refused 'the server has neither TLS 1.2 nor TLS 1.3; older versions are not safe'
	stop_servers
	serve_as server
	fetch 'tls-priority = "-VERS-ALL:+VERS-TLS1.1"'
	assert_bad_option "tls-priority: '-VERS-ALL:+VERS-TLS1.1' leaves no TLS 1.2 or later to agree on"
	for word in %VERIFY_ALLOW_SIGN_WITH_SHA1 %verify_allow_broken %PROFILE_LOW %profile_very_weak %PROFILE_LEGACY \
		%UNSAFE_RENEGOTIATION; do
		fetch "tls-priority = \"-VERS-TLS1.2:$word\""
		assert_bad_option "tls-priority: '$word' would weaken what is checked of a server"
	done
}

@test "what was agreed on is looked at behind the handshake, whatever a tls-priority may have brought about" {
	# A GnuTLS that let TLS 1.1 (3) through.
	echo 'int gnutls_protocol_get_version(void *session) { (void)session; return 3; }' >old.c
	"${CC:-cc}" -shared -fPIC -o old.so old.c
	serve_as server
	account box | write_config
	LD_PRELOAD=$HOME/old.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 \
		run --separate-stderr pophaul
	assert_status 76
	assert_stderr_has "TLS1.1 with AES-256-GCM is what the server agreed on, and that is not safe: look at 'tls-priority'"
	assert_equal "$(sed -n 's/^1> //p' "$TRANSCRIPT")" ''
}

@test "a tls-priority that GnuTLS does not understand is shown from where on" {
	serve_as server
	fetch 'tls-priority = "-VERS-TLS1.2:+NONSENSE:%PROFILE_HIGH"'
	assert_bad_option "tls-priority: not understood from '+NONSENSE:%PROFILE_HIGH' on"
	fetch "tls-priority = \"$(printf '+VERS-TLS1.1:%.0s' {1..64})+NULL\""
	assert_bad_option 'tls-priority: more than 64 words are too many'
	fetch 'tls-priority = "NORMAL"'
	assert_bad_option "tls-priority: 'NORMAL' does not begin with + - ! or %: the string is appended to the system's"
}

# ---- the PIN of a token ----

@test "a configuration with the PIN of a token in it is nobody else's to read" {
	serve_as server
	account box "tls-cert = \"$D/client.pem\"" 'tls-key = "pkcs11:token=x?pin-value=4321"' | write_config
	chmod 644 "$CONF"
	run --separate-stderr pophaul -t
	assert_bad_option 'a PIN stands here and other users can read the file'
	refute_stderr_has 4321
	chmod 600 "$CONF"
	run --separate-stderr pophaul -t
	assert_status 0
	account box "tls-cert = \"$D/client.pem\"" 'tls-key = "pkcs11:token=x?pin-source=/run/pin"' | write_config
	chmod 644 "$CONF"
	run --separate-stderr pophaul -t
	refute_stderr_has PIN
}

# ---- cleartext ----

@test "tls = none is refused for a host that is not this machine, unless cleartext says so" {
	make_resolver
	start_fakepop -e 'messages 1'
	account box 'host = "pop.example.org"' | write_config
	RESOLVER=127.0.0.1 run --separate-stderr with_resolver pophaul
	assert_bad_option "account 'box': tls = \"none\" would send everything, the login too, to 'pop.example.org' in clear: set 'tls' to implicit or starttls; if it has to be, set cleartext = \"yes\""
	run --separate-stderr pophaul -t
	assert_bad_option "would send everything, the login too, to 'pop.example.org' in clear"
	run --separate-stderr pophaul -t --tls implicit
	assert_status 0
	RESOLVER=127.0.0.1 run --separate-stderr with_resolver pophaul --cleartext
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 1
	account box 'host = "pop.example.org"' 'cleartext = "yes"' | write_config
	RESOLVER=127.0.0.1 run --separate-stderr with_resolver pophaul
	assert_status 0
	assert_equal "$(count_sessions)" 2
}

@test "a POP URL of another machine needs --cleartext beside --tls none" {
	make_resolver
	start_fakepop -e 'messages 1'
	printf 'machine pop.example.org login jane password secret\n' >.netrc
	chmod 600 .netrc
	ARGUMENTS=(--tls none --state-dir "$STATE" --deliver "maildir:$HOME/Maildir" "pop://jane@pop.example.org:$PORT")
	RESOLVER=127.0.0.1 run --separate-stderr with_resolver pophaul "${ARGUMENTS[@]}"
	assert_status 64
	assert_stderr_has "command line: --tls none would send everything, the login too, to 'pop.example.org' in clear; if it has to be, add --cleartext"
	assert_equal "$(count_sessions)" 0
	RESOLVER=127.0.0.1 run --separate-stderr with_resolver pophaul --cleartext "${ARGUMENTS[@]}"
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 1
}
