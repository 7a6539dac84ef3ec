#!/usr/bin/env bats
# Our own certificate: shown to a server that asks for it, from files and from a PKCS#11 token (SoftHSM).

load helper

# All certificates of this file, once: P.
setup_file() {
	export P=$BATS_FILE_TMPDIR
	CERT_DIR=$P
	make_ca "$P/ca"
	make_ca "$P/stranger"
	make_cert "$P/server" "$P/ca" 'ip_address = "127.0.0.1"'
	client jane ca
	client other ca
	client stray stranger
	cat "$P/jane.pem" "$P/jane.key" >"$P/both.pem"
	openssl pkcs8 -topk8 -in "$P/jane.key" -passout pass:sesame -out "$P/encrypted.key"
	chmod 600 "$P"/*.key "$P/both.pem"
	make_token
}

# client NAME ISSUER: a client's certificate.
client() {
	printf '%s\n' "cn = \"$1\"" tls_www_client signing_key 'expiration_days = 11000' >"$P/$1.template"
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$P/$1.key"
	run_certtool --generate-certificate --load-privkey "$P/$1.key" --load-ca-certificate "$P/$2.pem" \
		--load-ca-privkey "$P/$2.key" --template "$P/$1.template" --outfile "$P/$1.pem"
}

# A token with jane's key and certificate, of which no system's file tells. SoftHSM reads its files anew for each
# signature: by root, it is the user who meets the network that does.
make_token() {
	TOKENS=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-token.XXXXXX")
	export TOKENS SOFTHSM2_CONF=$P/softhsm2.conf
	printf '%s\n' "directories.tokendir = $TOKENS" 'objectstore.backend = file' 'log.level = ERROR' >"$SOFTHSM2_CONF"
	openssl pkcs8 -topk8 -nocrypt -in "$P/jane.key" -out "$P/bare.key"
	{
		softhsm2-util --init-token --free --label box --so-pin 12345678 --pin 4321 &&
			softhsm2-util --import "$P/bare.key" --token box --label key --id 01 --pin 4321 &&
			p11tool --batch --login --set-pin 4321 --write --load-certificate "$P/jane.pem" --id 01 --label cert \
				'pkcs11:token=box'
	} >"$P/token.log" 2>&1 || fail 'cannot make the token' "$(cat "$P/token.log")" || return
	[ "$(id -u)" -ne 0 ] || chown -R "$(id -un pophaul 2>/dev/null || echo nobody)" "$TOKENS"
}

teardown_file() {
	rm -rf -- "$TOKENS"
}

setup() {
	default_setup
	CA_FILE=$P/ca.pem
	RUN=(pophaul)
}

# serve_clients OPTION…: a server that lets in only those whom its authority knows; OPTIONs are fakepop's.
serve_clients() {
	start_fakepop "${TLS:---tls}" "$P/server.pem" "$P/server.key" --client-ca "$P/ca.pem" -e 'messages 1' "$@"
}

fetch() {
	rm -rf "$STATE" Maildir
	account box "$@" | write_config
	run --separate-stderr "${RUN[@]}"
}

assert_fetched() {
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 1
}

# By the server, with this in the message, before the login.
assert_turned_away() {
	assert_status 76
	assert_stderr_has "$1"
	run ! grep -q 'AUTH\|USER\|PASS' "$TRANSCRIPT"
}

# Before anything was said to anybody.
assert_unusable() {
	assert_status 78
	assert_stderr_has "$1"
	assert_equal "$(count_sessions)" 0
}

@test "our certificate is shown, from one file or two, by implicit TLS and STLS, TLS 1.2 and 1.3 (pop3 rule 42)" {
	for TLS in --tls --stls; do
		for version in 1.2 1.3; do
			serve_clients -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
			fetch "tls-cert = \"$P/jane.pem\"" "tls-key = \"$P/jane.key\""
			assert_fetched
			fetch "tls-cert = \"$P/both.pem\""
			assert_fetched
		done
	done
}

@test "a server that wants a certificate and gets none, or another's, is said" {
	for TLS in --tls --stls; do
		for version in 1.2 1.3; do
			serve_clients -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
			fetch
			assert_turned_away 'it may want a certificate of ours, which tls-cert would name'
			fetch "tls-cert = \"$P/stray.pem\"" "tls-key = \"$P/stray.key\""
			assert_turned_away 'the server refused the certificate of tls-cert: '
		done
	done
}

@test "the alert of a server that hung up before we could send is still read" {
	TLS=--stls
	serve_clients -e 'tls-priority NORMAL:-VERS-ALL:+VERS-TLS1.3'
	for _ in 1 2 3 4 5 6 7 8; do
		fetch "tls-cert = \"$P/stray.pem\"" "tls-key = \"$P/stray.key\""
		assert_turned_away 'the server refused the certificate of tls-cert: '
	done
}

@test "a server that does not ask for a certificate sees none" {
	start_fakepop --tls "$P/server.pem" "$P/server.key" -e 'messages 1'
	fetch "tls-cert = \"$P/stray.pem\"" "tls-key = \"$P/stray.key\""
	assert_fetched
}

@test "a certificate or key that cannot be used is an error of the configuration, before the server hears of us" {
	serve_clients
	fetch "tls-cert = \"$P/none.pem\""
	assert_unusable "tls-cert '$P/none.pem' cannot be read: No such file or directory"
	fetch "tls-cert = \"$P/jane.pem\"" "tls-key = \"$P/none.key\""
	assert_unusable "tls-key '$P/none.key' cannot be read: No such file or directory"
	fetch "tls-cert = \"$P/jane.pem\"" "tls-key = \"$P/other.key\""
	assert_unusable "tls-cert '$P/jane.pem' is not the certificate of the key in tls-key '$P/other.key'"
	fetch "tls-cert = \"$P/jane.pem\"" "tls-key = \"$P/encrypted.key\""
	assert_unusable "the key in tls-key '$P/encrypted.key' is encrypted, and there is nobody to ask for its password: decrypt it with 'openssl pkey'"
	fetch "tls-cert = \"$P/jane.key\"" "tls-key = \"$P/jane.key\""
	assert_unusable "there is no certificate in tls-cert '$P/jane.key'"
	install -m 600 "$P/jane.pem" alone.pem
	fetch "tls-cert = \"$HOME/alone.pem\""
	assert_unusable "or no key in tls-cert '$HOME/alone.pem', in PEM format"
	install -m 644 "$P/both.pem" open.pem
	fetch "tls-cert = \"$HOME/open.pem\""
	assert_unusable "tls-cert '$HOME/open.pem' has to hold the key, and other users can reach it: chmod o= it"
	fetch "tls-key = \"$P/jane.key\""
	assert_unusable "tls-key is the key of 'tls-cert', and there is none"
}

@test "key and certificate may be in a PKCS#11 token, the PIN in the URL or in a file that it names" {
	serve_clients
	fetch "tls-cert = \"$P/jane.pem\"" 'tls-key = "pkcs11:token=box;object=key;type=private?pin-value=4321"'
	assert_fetched
	fetch 'tls-cert = "pkcs11:token=box;object=cert;type=cert?pin-value=4321"' \
		'tls-key = "pkcs11:token=box;object=key;type=private?pin-value=4321"'
	assert_fetched
	fetch 'tls-cert = "pkcs11:token=box;id=%01?pin-value=4321"'
	assert_fetched
	install -m 600 /dev/null pin
	printf 4321 >pin
	fetch "tls-cert = \"pkcs11:token=box;object=cert;type=cert?pin-source=$HOME/pin\"" \
		"tls-key = \"pkcs11:token=box;object=key;type=private?pin-source=file://$HOME/pin\"" 'sandbox = "require"'
	assert_fetched
}

@test "a token that is not there, or whose PIN is wrong or missing, is said without the PIN" {
	serve_clients
	fetch "tls-cert = \"$P/jane.pem\"" 'tls-key = "pkcs11:token=none;object=key;type=private?pin-value=4321"'
	assert_unusable "no PKCS#11 token that is here has what tls-cert '$P/jane.pem', tls-key 'pkcs11:token=none;object=key;type=private' name: 'p11tool --list-tokens' shows those that are"
	refute_stderr_has 4321
	fetch "tls-cert = \"$P/jane.pem\"" 'tls-key = "pkcs11:token=box;object=key;type=private?pin-value=8765"'
	assert_unusable "tls-key 'pkcs11:token=box;object=key;type=private': the token's PIN is neither in pin-value nor, by pin-source, in a file; or it is another"
	refute_stderr_has 8765
	fetch "tls-cert = \"$P/jane.pem\"" 'tls-key = "pkcs11:token=box;object=key;type=private"'
	assert_unusable "the token's PIN is neither in pin-value nor, by pin-source, in a file; or it is another"
}
