#!/usr/bin/env bats
# Chains of certificates: which are let in, and what is said of those that are not. What one certificate
# alone decides (its dates, names and key) is in 16-tls.bats.

load helper
load resolver

# issue NAME ISSUER TEMPLATE-LINE…: in the file's folder, NAME.pem and NAME.key, which ISSUER signed; certtool's
# OPTIONS are more of its options.
issue() {
	local name=$1 issuer=$2

	shift 2
	printf '%s\n' "cn = \"$name\"" 'expiration_days = 11000' "$@" >"$name.template"
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$name.key"
	run_certtool --generate-certificate "${OPTIONS[@]}" --load-privkey "$name.key" --load-ca-certificate "$issuer.pem" \
		--load-ca-privkey "$issuer.key" --template "$name.template" --outfile "$name.own"
	cp "$name.own" "$name.pem"
}

# leaf NAME ISSUER TEMPLATE-LINE…: as issue, a server's certificate for 127.0.0.1.
leaf() {
	issue "$@" tls_www_server signing_key 'ip_address = "127.0.0.1"'
}

# answer NAME FILE STATUS OPTION…: FILE has the authority's answer about NAME, V: it is good, R: it has been revoked.
# BEFORE is a command to run it by.
answer() {
	local name=$1 file=$2 status=$3 serial

	shift 3
	serial=$(openssl x509 -in "$name.own" -noout -serial)
	printf '%s\t560101000000Z\t%s\t%s\tunknown\t/CN=x\n' "$status" "${status/V/}" "${serial#*=}" |
		sed 's/\tR\t/\t200101000000Z\t/' >index
	"${BEFORE[@]}" openssl ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -issuer ca.pem -cert "$name.own" -respout "$file" \
		"$@" >>openssl.log 2>&1 || fail "openssl ocsp" "$(cat openssl.log)"
}

# list NAME ISSUER [REVOKED…]: NAME.crl, by which ISSUER revokes these.
list() {
	local name=$1 issuer=$2 revoked args=()

	shift 2
	printf '%s\n' 'crl_number = 1' 'crl_next_update = 9000' >"$name.template"
	for revoked in "$@"; do
		args+=(--load-certificate "$revoked.own")
	done
	run_certtool --generate-crl --load-ca-certificate "$issuer.pem" --load-ca-privkey "$issuer.key" "${args[@]}" \
		--template "$name.template" --outfile "$name.crl" </dev/null
}

# All chains of this file, once.
setup_file() {
	local OPTIONS=() BEFORE=() authority=(ca cert_signing_key)

	load helper
	CHAINS=$BATS_FILE_TMPDIR CERT_DIR=$BATS_FILE_TMPDIR
	export CHAINS
	cd "$CHAINS" || return 1
	printf '%s\n' 'cn = "root"' ca cert_signing_key crl_signing_key ocsp_signing_key 'expiration_days = 11000' >ca.template
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile ca.key
	run_certtool --generate-self-signed --load-privkey ca.key --template ca.template --outfile ca.pem

	leaf good ca
	# Who is no authority, and one that may not sign.
	leaf nobody ca
	leaf by-nobody nobody
	issue no-signer ca ca crl_signing_key
	leaf by-no-signer no-signer
	# An authority that may have none below it, and one with names of its own.
	issue last ca "${authority[@]}" crl_signing_key 'path_len = 0'
	issue below-last last "${authority[@]}"
	leaf too-deep below-last
	leaf deep-enough last
	issue narrow ca "${authority[@]}" 'nc_permit_dns = "b.example.org"' 'nc_permit_ip = "192.0.2.0/24"'
	issue outside narrow tls_www_server signing_key 'dns_name = "pop.a.example.org"' 'ip_address = "127.0.0.1"'
	issue inside narrow tls_www_server signing_key 'dns_name = "pop.b.example.org"'
	# One that was good once.
	printf '%s\n' 'cn = "old"' "${authority[@]}" 'activation_date = "2020-01-01 00:00:00 UTC"' \
		'expiration_date = "2021-02-03 00:00:00 UTC"' >old.template
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile old.key
	run_certtool --generate-certificate --load-privkey old.key --load-ca-certificate ca.pem --load-ca-privkey ca.key \
		--template old.template --outfile old.own
	cp old.own old.pem
	leaf by-old old
	# A signature that anybody can copy.
	OPTIONS=(--hash SHA1)
	leaf sha1 ca
	issue sha1-authority ca "${authority[@]}"
	OPTIONS=()
	leaf by-sha1 sha1-authority
	leaf staple ca 'tls_feature = 5'
	leaf other ca
	issue punycode ca tls_www_server signing_key 'dns_name = "xn--mnchen-3ya.example.org"'
	answer good good.ocsp V -ndays 9000
	answer good revoked.ocsp R -ndays 9000
	answer staple staple.ocsp V -ndays 9000
	answer staple staple-revoked.ocsp R -ndays 9000
	answer other other.ocsp V -ndays 9000
	BEFORE=(faketime '2021-01-27 00:00:00')
	answer good old.ocsp V -ndays 7
	list leaf ca other good
	list other ca other
	list staple ca staple
	list of-last last deep-enough
	list authority ca last
	# Servers send all but the root.
	cat nobody.own >>by-nobody.pem
	cat no-signer.own >>by-no-signer.pem
	cat below-last.own last.own >>too-deep.pem
	cat last.own >>deep-enough.pem
	cat narrow.own | tee -a outside.pem >>inside.pem
	cat old.own >>by-old.pem
	cat sha1-authority.own >>by-sha1.pem
}

setup() {
	default_setup
	MORE=()
	cd "$CHAINS" || return 1
}

# try NAME [OPTION…]: poll a server with that certificate; MORE are lines of the account.
try() {
	local name=$1

	shift
	rm -rf "$STATE" "$HOME/Maildir"
	start_fakepop --tls "$CHAINS/$name.pem" "$CHAINS/$name.key" -e 'messages 1' "$@"
	account box "tls-trust-file = \"$CHAINS/ca.pem\"" "${MORE[@]}" | write_config
	run --separate-stderr pophaul
	stop_servers
}

# try_by_name NAME HOST: the same, from a host of that name in example.org.
try_by_name() {
	rm -rf "$STATE" "$HOME/Maildir"
	make_resolver
	start_fakepop --tls "$CHAINS/$1.pem" "$CHAINS/$1.key" -e 'messages 1'
	account box "host = \"$2\"" "tls-trust-file = \"$CHAINS/ca.pem\"" | write_config
	RESOLVER=127.0.0.1 run --separate-stderr with_resolver pophaul
	stop_servers
}

# Refused, with these words, before anything was said.
assert_refused() {
	assert_status 76
	assert_stderr_has "the server's certificate is refused: $1"
	run ! grep -q '^1> ' "$TRANSCRIPT"
	assert_equal "$(count_files "$HOME/Maildir")" 0
}


@test "a chain is followed through those who may sign, and no others" {
	try good
	assert_status 0
	try by-nobody
	assert_refused 'it is signed by a certificate that may not sign others; its issuer may not sign such a certificate'
	try by-no-signer
	assert_refused 'its issuer may not sign such a certificate'
}

@test "an authority's bounds are kept: how long the chain may get below it, and whom it may name" {
	try deep-enough
	assert_status 0
	try too-deep
	assert_refused 'its issuer may not sign such a certificate'
	try_by_name inside pop.b.example.org
	assert_status 0
	try_by_name outside pop.a.example.org
	assert_refused 'its issuer may not sign such a certificate'
}

@test "an authority out of its time is none" {
	try by-old
	assert_refused 'a certificate in its chain has expired'
}

@test "a signature by SHA-1 is none" {
	for name in sha1 by-sha1; do
		try "$name"
		assert_refused "it, or its issuer's, has a key or signature too weak to be safe"
	done
}

@test "a server's proof that its certificate has not been revoked is looked at, by TLS 1.2 and 1.3" {
	for version in 1.2 1.3; do
		try good --ocsp good.ocsp -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		assert_status 0
		try good --ocsp revoked.ocsp -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		assert_refused "it has been revoked: tell the server's administrator"
	done
	try good --ocsp other.ocsp
	assert_refused 'the answer by OCSP beside it is not valid'
	try good --ocsp old.ocsp
	assert_refused 'the answer by OCSP beside it is too old'
}

@test "a certificate that is good only with a proof is refused without" {
	for version in 1.2 1.3; do
		try staple --ocsp staple.ocsp -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		assert_status 0
		try staple -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		assert_refused 'it is good only with an answer by OCSP beside it, and the server sent none'
	done
	try staple --ocsp staple-revoked.ocsp
	assert_refused 'it has been revoked'
	try staple --ocsp other.ocsp
	assert_refused 'the answer by OCSP beside it is not valid'
}

@test "a session that is resumed keeps the proof that it began with, and is verified anew" {
	for version in 1.2 1.3; do
		rm -rf "$STATE" "$HOME/Maildir"
		start_fakepop --tls staple.pem staple.key --ocsp staple.ocsp -e 'messages 1' -e 'tls-tickets one' \
			-e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		account box "tls-trust-file = \"$CHAINS/ca.pem\"" | write_config
		for _ in first second; do
			run --separate-stderr pophaul
			assert_status 0
		done
		grep -Fqx "2* tls TLS$version resumed" "$TRANSCRIPT"
		# A list that names it now is read now.
		account box "tls-trust-file = \"$CHAINS/ca.pem\"" "tls-crl-file = \"$HOME/now.crl\"" | write_config
		cp other.crl "$HOME/now.crl"
		run --separate-stderr pophaul
		assert_status 0
		cp staple.crl "$HOME/now.crl"
		run --separate-stderr pophaul
		assert_status 76
		assert_stderr_has "it has been revoked by 'CN=root', says tls-crl-file '$HOME/now.crl'"
		stop_servers
	done
}

@test "who stands in tls-crl-file is refused, server or authority, and nobody else" {
	MORE=("tls-crl-file = \"$CHAINS/leaf.crl\"")
	try good
	assert_refused "it has been revoked by 'CN=root', says tls-crl-file '$CHAINS/leaf.crl': tell the server's administrator"
	try staple --ocsp staple.ocsp
	assert_status 0
	cat of-last.crl other.crl authority.crl >"$HOME/all.crl"
	MORE=("tls-crl-file = \"$HOME/all.crl\"")
	try good
	assert_status 0
	try deep-enough
	assert_refused "it has been revoked by 'CN="
	MORE=("tls-crl-file = \"$CHAINS/of-last.crl\"")
	try deep-enough
	assert_refused "it has been revoked by 'CN=last'"
	MORE=("tls-crl-file = \"$CHAINS/authority.crl\"")
	try deep-enough
	assert_refused "it has been revoked by 'CN=root'"
}

@test "an international name is compared in its xn-- form" {
	try_by_name punycode xn--mnchen-3ya.example.org
	assert_status 0
	try_by_name punycode xn--mnchen-3yb.example.org
	assert_refused "it is for 'xn--mnchen-3ya.example.org', not for 'xn--mnchen-3yb.example.org'"
}

# Without an answer to CAPA another session goes on: 14-protocol.bats, rule 21.
@test "a connection that is cut without close_notify is an error at every stage (pop3 rule 43)" {
	for rule in drop 'on AUTH drop' 'on UIDL drop' 'on UIDL cut 7' 'on LIST drop' 'on LIST cut 7' \
		'on RETR drop' 'on RETR cut 7' 'on RETR cut 300' 'on STAT drop'; do
		for version in 1.2 1.3; do
			try good -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version" -e "$rule"
			assert_status 69
			assert_stderr_has 'the server closed the connection without TLS close_notify'
			[[ $rule == *STAT* ]] || assert_equal "$rule: $(count_files "$HOME/Maildir")" "$rule: 0"
		done
	done
	# What was whole before the cut is mail.
	assert_equal "$(count_files "$HOME/Maildir/new")" 1
}
