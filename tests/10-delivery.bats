#!/usr/bin/env bats
# Messages on their way into Maildirs and mbox files: octet by octet, each once, and nothing
# deleted that is not safely there. Commands have 11-pipe.bats.

load helper

# odd FOLDER: messages that programs like to break.
odd() {
	mkdir -p "$1"
	python3 - "$1" <<-'EOF'
		import os, sys
		def put(name, text):
		    with open(os.path.join(sys.argv[1], name), "wb") as file:
		        file.write(text)
		head = b"Subject: odd\n\n"
		put("a-nul", b"Subject: \0\n\n\0\n.\0\n\0\0\nend\0\n")
		put("b-bare-cr", head + b"a\rb\n\rFrom c\n.\rd\n\r\r\r\ne\r\r\nf\n")
		put("c-all-octets", head + bytes(range(256)) * 3 + b"\n")
		put("d-line-70k", head + b"x" * 70000 + b"\ny\n")
		put("e-line-1m", head + b"." + b"From " * 200000 + b"\n" + b">" * 1000000 + b"From z\n")
		put("f-ends-empty", head + b"body\n\n\n\n")
		put("g-no-octets", b"")
		put("h-one-line-end", b"\n")
		put("i-empty-body", b"Subject: i\nFrom: i@example.org\n\n")
		put("j-header-only", b"Subject: j\nFrom: j@example.org\n")
		put("k-from-first", b"From k@example.org Thu Nov 19 18:00:00 2026\nSubject: k\n\nk\n")
		put("l-quoted-first", b">From l@example.org Thu Nov 19 18:00:00 2026\nSubject: l\n\nl\n")
		put("m-dots", b".\n..\n...\n. \n.a\n..b\n\n.\n\n..\n.\n")
		put("n-only-dot", b".\n")
		put("o-dots-many", b".\n" * 50000)
		put("p-froms", head + b"From a\n>From b\n>>From c\n>>>>>>>>From d\nFrom\nFro\nF\n From e\n"
		    b"From: f\nfrom g\n> From h\n>\n>>\nFFrom i\nFrFrom j\n>F\n\nFrom k\n\n>From l\n")
		put("q-from-last", head + b"From")
		put("r-from-end", head + b"From ")
		for n in (65535, 65536, 65537, 131071, 131072, 131073):
		    put("s-lf-%06d" % n, head + b"s" * (n - len(head) - 1) + b"\n")
		    put("t-lines-%06d" % n, b"tt\n" * (n // 3 - 1) + b"u" * (n % 3 + 2) + b"\n")
		    # A line that is to be quoted and one with a dot, across that place.
		    for cut in range(0, 8):
		        put("u-%06d-%d" % (n, cut), head + b"u" * (n - len(head) - cut) + b"\nFrom .\n.\n..\n")
		put("v-20m", head + b"".join(b"%07d" % i + b"v" * 68 + b"\n" for i in range(270000)))
	EOF
}

# A command that keeps its standard input as a file of its own.
make_taker() {
	cat >"$HOME/take" <<-'EOF'
		#!/bin/sh
		file=$(mktemp "$1/XXXXXXXXXXXX") && exec cat >"$file"
	EOF
	chmod 700 "$HOME/take"
	mkdir -p "$HOME/taken"
}

# The digests of an mbox's messages as maildir_digests says them, read by Python's mailbox and by hand, which must
# agree; the quoting is undone.
mbox_digests() {
	python3 - "$1" <<-'EOF'
		import hashlib, mailbox, re, sys
		def plain(text):
		    return re.sub(rb"(?m)^>(>*From )", rb"\1", text)
		box = mailbox.mbox(sys.argv[1], create=False)
		by_module = [plain(box.get_bytes(key)) for key in box.keys()]
		by_hand = []
		with open(sys.argv[1], "rb") as file:
		    text = file.read()
		lines = re.findall(rb"[^\n]*\n", text)
		assert b"".join(lines) == text, "no final newline"
		starts = [i for i, line in enumerate(lines) if line.startswith(b"From ")] + [len(lines)]
		assert starts[0] == 0, "no From_ line first"
		for begin, end in zip(starts, starts[1:]):
		    assert begin == 0 or lines[begin - 1] == b"\n", "no empty line before From_"
		    assert lines[end - 1] == b"\n", "no empty line behind a message"
		    by_hand.append(plain(b"".join(lines[begin + 1:end - 1])))
		assert by_module == by_hand, "two readers disagree"
		print("\n".join(sorted(hashlib.sha256(m).hexdigest() for m in by_hand)))
	EOF
}

# assert_mbox_has FOLDER MBOX
assert_mbox_has() {
	assert_equal "$(mbox_digests "$2")" "$(folder_digests "$1")"
}

# hold_lock FILE: another process has the fcntl lock of it, until release_lock.
hold_lock() {
	mkfifo "$HOME/hold"
	python3 - "$1" "$HOME/hold" "$HOME/held" 3>&- <<-'EOF' &
		import fcntl, sys
		with open(sys.argv[1], "a+b") as file:
		    fcntl.lockf(file, fcntl.LOCK_EX)
		    open(sys.argv[3], "w").close()
		    open(sys.argv[2]).read()
	EOF
	HOLDER=$!
	SERVER_PIDS+=("$HOLDER")
	wait_until 20 test -e "$HOME/held"
}

release_lock() {
	: >"$HOME/hold"
	wait "$HOLDER"
}

is_waiting_for_lock() {
	grep -q 'RETR' "$TRANSCRIPT" && transcript | grep -c RETR | grep -qx "$1"
}

@test "Dovecot's corpus arrives octet by octet in a Maildir, an mbox and a command, by TLS of both kinds" {
	local user file

	corpus folder
	odd odd
	# Dovecot does not double a dot that is the very first octet: such a message ends at once, and
	# what follows are no answers. It gets these below a header.
	for file in odd/[mno]-*dot*; do
		{ printf 'Subject: dots\n\n'; cat "$file"; } >"folder/${file##*/}"
		rm "$file"
	done
	rm odd/v-20m odd/g-no-octets odd/u-*
	cp odd/* folder
	start_dovecot
	make_taker
	for user in jane joe ann; do
		put_messages folder "$user"
	done
	{
		account maildir 'keep = "never"'
		account mbox 'user = "joe"' "port = $PORTS" 'tls = "implicit"' \
			"deliver = \"mbox:$HOME/mbox\"" 'keep = "never"'
		account pipe 'user = "ann"' "deliver = \"pipe:$HOME/take $HOME/taken\"" 'keep = "never"'
	} | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr$output" ''
	assert_maildir_has folder Maildir
	assert_mbox_has folder mbox
	assert_equal "$(sha256sum taken/* | cut -d ' ' -f 1 | sort)" "$(folder_digests folder)"
	[ "$(count_files "$DOVECOT_DIR"/mail/*/Maildir/{new,cur})" -eq 0 ]
	run pophaul --no-mail-status 9
	assert_status 9
}

@test "odd messages arrive octet by octet in a Maildir, an mbox and a command" {
	odd folder
	start_fakepop --folder folder
	make_taker
	{
		account maildir
		account mbox "deliver = \"mbox:$HOME/mbox\""
		account pipe "deliver = \"pipe:$HOME/take $HOME/taken\""
	} | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr$output" ''
	assert_maildir_has folder Maildir
	assert_mbox_has folder mbox
	assert_equal "$(sha256sum taken/* | cut -d ' ' -f 1 | sort)" "$(folder_digests folder)"
	[ "$(count_files folder)" -eq 79 ]
}

@test "line feeds without carriage return end nothing, whatever stands between them" {
	start_fakepop - <<-'EOF'
		message Subject: raw
		message Subject: raw
		message Subject: raw
		on RETR 1 raw "+OK\r\nSubject: 1\n\nFrom a\n.\nb\n..\nc\r\n.\r\n"
		on RETR 2 raw "+OK\r\n\n.\n.\r\n.\r\n"
		on RETR 3 raw "+OK\r\nSubject: 3\r\n\r\n\r\r\n..\n\r\n\n.\r\r\n.\r\n"
	EOF
	mkdir folder
	printf 'Subject: 1\n\nFrom a\n.\nb\n..\nc\n' >folder/1
	printf '\n.\n.\n' >folder/2
	printf 'Subject: 3\n\n\r\n.\n\n\n.\r\n' >folder/3
	make_taker
	{
		account maildir
		account mbox "deliver = \"mbox:$HOME/mbox\""
		account pipe "deliver = \"pipe:$HOME/take $HOME/taken\""
	} | write_config
	run --separate-stderr pophaul
	assert_status 0
	sha256sum folder/* | cut -d ' ' -f 1 | sort >wanted
	assert_equal "$(maildir_digests Maildir)" "$(cat wanted)"
	assert_equal "$(mbox_digests mbox)" "$(cat wanted)"
	assert_equal "$(sha256sum taken/* | cut -d ' ' -f 1 | sort)" "$(cat wanted)"
}

# ---- Maildir ----

@test "a Maildir is made for its owner alone, its names tell exact sizes, and nothing stays in tmp/" {
	corpus folder
	printf 'Subject: a\r\r\nb\r\n%s\r\r\n\r\r\r\n\r\r\n' "$(head -c 65519 /dev/zero | tr '\0' c)" \
		>folder/cr
	start_fakepop --folder folder
	account a "deliver = \"maildir:$HOME/new/box\"" | write_config
	(umask 000 && pophaul)
	assert_equal "$(find new -type d -printf '%m %P\n' | sort)" \
		$'700 \n700 box\n700 box/cur\n700 box/new\n700 box/tmp'
	assert_equal "$(find new -type f -printf '%m\n' | sort -u)" 600
	assert_maildir_has folder new/box
	[ "$(count_files new/box/tmp new/box/cur)" -eq 0 ]
	python3 - new/box/new <<-'EOF'
		import os, re, sys
		names = os.listdir(sys.argv[1])
		assert len(names) == 26, names
		assert len({name.split(",")[0] for name in names}) == 26
		for name in names:
		    text = open(os.path.join(sys.argv[1], name), "rb").read()
		    # A line end that has its CR on disk already is one for Dovecot as it is.
		    crlf = len(re.sub(rb"(?<!\r)\n", b"\r\n", text))
		    wanted = ",S=%d,W=%d" % (len(text), crlf)
		    assert re.fullmatch(r"[^:/,]+\..+" + wanted, name), (name, wanted)
	EOF
}

@test "a folder within a Maildir is marked as one, and no other is" {
	start_fakepop -e 'messages 1'
	{
		account a "deliver = \"maildir:$HOME/Maildir\""
		account b "deliver = \"maildir:$HOME/Maildir/.lists\""
		account c "deliver = \"maildir:$HOME/plain/.box\""
		account d "deliver = \"maildir:$HOME/Maildir/\""
	} | write_config
	mkdir plain
	pophaul a
	pophaul b c d
	assert_equal "$(find . -name maildirfolder -printf '%m %p\n')" '600 ./Maildir/.lists/maildirfolder'
	[ "$(count_files Maildir/new)" -eq 2 ]
	[ "$(count_files Maildir/.lists/new)" -eq 1 ]
	[ "$(count_files plain/.box/new)" -eq 1 ]
}

@test "Dovecot serves the Maildir that was filled, and believes its sizes" {
	local joe fakepop_port

	corpus folder
	odd odd
	# The first octet again, see above; and it makes one line of a message without any octet.
	rm odd/v-20m odd/u-* odd/g-no-octets odd/[mno]-*dot*
	cp odd/* folder
	start_fakepop --folder folder
	fakepop_port=$PORT
	start_dovecot
	joe=$DOVECOT_DIR/mail/joe/Maildir
	account a "port = $fakepop_port" 'tls = "none"' "deliver = \"maildir:$joe\"" | write_config
	pophaul
	chown -R "$DOVECOT_OWNER" "$joe"
	python3 - "$PORT" >"$HOME/got" <<-'EOF'
		import hashlib, poplib, sys
		poplib._MAXLINE = 1 << 22
		c = poplib.POP3("127.0.0.1", int(sys.argv[1]), timeout=30)
		c.user("joe")
		c.pass_("secret")
		sizes = [int(row.split()[1]) for row in c.list()[1]]
		digests = []
		for i, size in enumerate(sizes, 1):
		    text = b"".join(line + b"\n" for line in c.retr(i)[1])
		    assert len(text.replace(b"\n", b"\r\n")) == size, (i, size)
		    digests.append(hashlib.sha256(text).hexdigest())
		c.quit()
		print("\n".join(sorted(digests)))
	EOF
	assert_equal "$(cat got)" "$(folder_digests "$joe/cur")"
	[ "$(count_files "$joe/cur")" -eq "$(count_files folder)" ]
	run grep -iE 'error|warning' "$DOVECOT_DIR/log"
	assert_output_is ''
}

@test "what dead sessions of this state left in tmp/ is removed, and nothing else, anywhere" {
	local name

	start_fakepop -e 'messages 2'
	mkdir -p Maildir/{cur,new,tmp}
	chmod 755 Maildir Maildir/cur
	echo mine >Maildir/cur/old:2,S
	echo mine >Maildir/new/older
	account a | write_config
	pophaul
	assert_equal "$(cat Maildir/cur/old:2,S Maildir/new/older)" $'mine\nmine'
	assert_equal "$(stat -c %a Maildir Maildir/cur)" $'755\n755'
	for name in Maildir/new/*P*Q*; do
		name=${name##*/}
		name=${name%%,*}
		: >"Maildir/tmp/$name"
	done
	[ "$(count_files Maildir/tmp)" -eq 2 ]
	# Of another state and of other programs.
	: >"Maildir/tmp/$(sed -E 's/A[0-9a-f]{16}/A0000000000000000/' <<<"$name")"
	: >Maildir/tmp/1.P1Q1.example
	mkdir "Maildir/tmp/folder"
	find Maildir/tmp -mindepth 1 -printf '%P\n' | grep -vFx "$name" | sort >before
	pophaul
	find Maildir/tmp -mindepth 1 -printf '%P\n' | sort >after
	[ "$(wc -l <after)" -eq 3 ]
	assert_equal "$(comm -13 before after)" ''
	[ "$(count_files Maildir/new)" -eq 3 ]
}

@test "two accounts fill one Maildir at the same time, and neither harms the other" {
	local port

	corpus folder
	start_fakepop --synthetic 600 3000
	port=$PORT
	start_fakepop --folder folder
	{
		account a "port = $port" 'keep = "never"'
		account b 'keep = "never"'
	} | write_config
	run pophaul
	assert_status 0
	[ "$(count_files Maildir/new)" -eq 625 ]
	[ "$(count_files Maildir/tmp folder)" -eq 0 ]
}

@test "a Maildir that cannot be made or written to is status 73, and nothing is deleted" {
	start_fakepop -e 'messages 3'
	: >file
	account a 'keep = "never"' "deliver = \"maildir:$HOME/file/Maildir\"" | write_config
	run --separate-stderr pophaul
	assert_status 73
	assert_stderr_has "pophaul: a: cannot create folder '$HOME/file/Maildir"
	assert_stderr_has 'Not a directory'
	# The server is not even asked.
	[ "$(count_sessions)" -eq 0 ]
	# Why it could not be made is said, not that it is not there.
	account a 'keep = "never"' 'deliver = "maildir:/sys"' | write_config
	run --separate-stderr pophaul
	assert_status 73
	assert_stderr_has "pophaul: a: cannot create folder '/sys/cur': "
	refute_stderr_has 'No such file'
	[ "$(count_sessions)" -eq 0 ]
	# Not even root makes files there.
	mkdir -p Maildir/{cur,new}
	ln -s /proc/self/fdinfo Maildir/tmp
	account a 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 73
	assert_stderr_has "pophaul: a: cannot create '$HOME/Maildir/tmp/"
	assert_equal "$(transcript | grep -c DELE)" 0
	rm Maildir/tmp
	pophaul
	[ "$(count_files Maildir/new)" -eq 3 ]
	assert_equal "$(transcript_events 2 | grep -c deleted)" 3
}

# ---- a full disk ----

# full_disk DESTINATION: small messages, one that is too big for this process's files, and more.
full_disk() {
	mkdir folder
	cp "$TESTS"/corpus/0[1-4]*.eml folder
	"$TESTS/make-large" folder 150000 05-large.eml
	cp "$TESTS"/corpus/1[4-9]*.eml folder
	cp -r folder wanted
	start_fakepop --folder folder
	account a 'keep = "never"' "deliver = \"$1\"" | write_config
	run --separate-stderr bash -c 'ulimit -f 100; exec timeout -k 5 60 "$0"' "$BUILD/pophaul"
	assert_status 74
	assert_stderr_has 'pophaul: a: '
	assert_stderr_has 'File too large'
	[ -e folder/05-large.eml ]
}

@test "a full disk is status 74: a Maildir loses nothing, and the next run brings the rest" {
	full_disk "maildir:$HOME/Maildir"
	assert_stderr_has "pophaul: a: maildir '$HOME/Maildir': cannot write '"
	# What is gone from the server is here.
	[ "$(count_files Maildir/tmp)" -eq 0 ]
	for file in wanted/*; do
		[ -e "folder/${file##*/}" ] ||
			sha256sum "$file" | cut -d ' ' -f 1 | grep -qFf - <(maildir_digests Maildir)
	done
	pophaul
	assert_maildir_has wanted Maildir
	[ "$(count_files folder)" -eq 0 ]
}

@test "a full disk is status 74: an mbox is cut back to what it had, and the next run brings the rest" {
	local at

	full_disk "mbox:$HOME/mbox"
	[ ! -s mbox ] || mbox_digests mbox >/dev/null
	rm -rf "$STATE" mbox folder
	cp -r wanted folder
	# Now the spool has room, the file has not: it is appended to at its end.
	printf 'From a@example.org Thu Nov 19 18:00:00 2026\nSubject: old\n\n%s\n\n' \
		"$(head -c 90000 /dev/zero | tr '\0' x)" >mbox
	rm folder/05-large.eml wanted/05-large.eml
	at=$(stat -c %s mbox)
	cp mbox before
	run --separate-stderr bash -c 'ulimit -f 89; exec timeout -k 5 60 "$0"' "$BUILD/pophaul"
	assert_status 74
	assert_stderr_has 'File too large'
	head -c "$at" mbox | cmp - before
	mbox_digests mbox >/dev/null
	for file in wanted/*; do
		[ -e "folder/${file##*/}" ] ||
			sha256sum "$file" | cut -d ' ' -f 1 | grep -qFf - <(mbox_digests mbox)
	done
	[ "$(count_files folder)" -gt 0 ]
	pophaul
	printf 'Subject: old\n\n%s\n' "$(head -c 90000 /dev/zero | tr '\0' x)" >wanted/old
	assert_mbox_has wanted mbox
	[ "$(count_files folder)" -eq 0 ]
}

@test "a state that cannot be written is status 74, and nothing is deleted" {
	start_fakepop -e 'messages 3'
	account a 'keep = "never"' | write_config
	# Its messages go through a pipe: bats puts standard error into a file.
	run bash -c '(ulimit -f 0; exec timeout -k 5 60 "$0") 2>&1 | cat; exit "${PIPESTATUS[0]}"' \
		"$BUILD/pophaul"
	assert_status 74
	assert_output_has 'pophaul: a: '
	assert_output_has 'File too large'
	assert_equal "$(transcript | grep -c DELE)" 0
	pophaul
	[ "$(count_files Maildir/new)" -eq 3 ]
}

# ---- mbox ----

@test "an mbox is mboxrd, with the Return-Path and the time in the From_ line" {
	local before after when n

	start_fakepop - <<-'EOF'
		message "Return-Path: <jane.doe+x@example.org>\nSubject: 1\n\nFrom a\n>From b\n>>From c\n From d\nFrom: e\n"
		message "Subject: 2\n\nno path\n"
		message "Return-Path: <>\nSubject: 3\n\nbounce\n"
		message "Return-Path: <\"a b\"@example.org>\nSubject: 4\n\nquoted\n"
		message "Return-Path: <-oops@example.org>\nSubject: 5\n\ndash\n"
		message "Return-Path: bare@example.org\nSubject: 6\n\nno brackets\n"
		message "Subject: 7\n\nReturn-Path: <body@example.org>\n"
		message "Return-Path: <a@b\nFrom c>\nSubject: 8\n\nsplit\n"
	EOF
	account a "deliver = \"mbox:$HOME/mail/in\"" | write_config
	before=$(date +%s)
	(umask 000 && TZ=America/New_York LC_ALL=C.UTF-8 pophaul)
	after=$(date +%s)
	assert_equal "$(stat -c '%a %n' mail mail/*)" $'700 mail\n600 mail/in'
	assert_equal "$(sed -E '/^From /s/ [A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} 20[0-9]{2}$/ DATE/' mail/in)" \
		"From jane.doe+x@example.org DATE
Return-Path: <jane.doe+x@example.org>
Subject: 1

>From a
>>From b
>>>From c
 From d
From: e

From MAILER-DAEMON DATE
Subject: 2

no path

From MAILER-DAEMON DATE
Return-Path: <>
Subject: 3

bounce

From MAILER-DAEMON DATE
Return-Path: <\"a b\"@example.org>
Subject: 4

quoted

From MAILER-DAEMON DATE
Return-Path: <-oops@example.org>
Subject: 5

dash

From bare@example.org DATE
Return-Path: bare@example.org
Subject: 6

no brackets

From MAILER-DAEMON DATE
Subject: 7

Return-Path: <body@example.org>

From MAILER-DAEMON DATE
Return-Path: <a@b
>From c>
Subject: 8

split"
	n=$(grep -c '^From ' mail/in)
	[ "$n" -eq 8 ]
	when=$(date -u -d "$(grep -m 1 '^From ' mail/in | cut -d ' ' -f 3-) UTC" +%s)
	[ "$when" -ge "$before" ] && [ "$when" -le "$after" ]
	[ ! -e mail/in.lock ]
}

@test "mail goes behind what an mbox has, whatever ends it, and the file stays the one it was" {
	local old inode

	start_fakepop -e 'message "Subject: new\n\nnew\n"'
	old='From a@example.org Thu Nov 19 18:00:00 2026
Subject: old

old'
	account a "deliver = \"mbox:$HOME/mbox\"" | write_config
	for end in '' '\n' '\n\n' '\n\n\n'; do
		rm -rf "$STATE"
		printf "%s$end" "$old" >mbox
		chmod 640 mbox
		inode=$(stat -c %i mbox)
		pophaul
		[[ $end == '\n\n\n' ]] || end='\n\n'
		assert_equal "$(sed '/MAILER-DAEMON/s/ .*//' mbox)." \
			"$(printf "%s${end}From\nSubject: new\n\nnew\n\n" "$old")."
		assert_equal "$(stat -c '%a %i' mbox)" "640 $inode"
	done
	rm -rf "$STATE"
	: >mbox
	pophaul
	assert_equal "$(sed '/MAILER-DAEMON/s/ .*//' mbox)" $'From\nSubject: new\n\nnew'
	# Through a link, too.
	rm -rf "$STATE"
	ln -s mbox link
	account a "deliver = \"mbox:$HOME/link\"" | write_config
	pophaul
	[ -L link ]
	[ "$(grep -c '^From ' mbox)" -eq 2 ]
}

@test "what is no mbox is left alone: a folder, a pipe, a file of something else" {
	start_fakepop -e 'messages 1'
	mkdir folder
	mkfifo fifo
	echo 'Dear diary' >diary
	printf Fro >short
	for name in folder fifo /dev/null; do
		account a "deliver = \"mbox:$(realpath "$name")\"" | write_config
		run --separate-stderr pophaul
		assert_status 73
		assert_equal "$stderr" "pophaul: a: mbox '$(realpath "$name")' is not a regular file"
	done
	for name in diary short; do
		account a "deliver = \"mbox:$HOME/$name\"" | write_config
		run --separate-stderr pophaul
		assert_status 73
		assert_equal "$stderr" \
			"pophaul: a: '$HOME/$name' is not an mbox: it does not begin with \"From \""
	done
	account a "deliver = \"mbox:$HOME/diary/mbox\"" | write_config
	run --separate-stderr pophaul
	assert_status 73
	assert_equal "$stderr" "pophaul: a: '$HOME/diary' is not a folder"
	assert_equal "$(cat diary short)" $'Dear diary\nFro'
	[ "$(count_sessions)" -eq 0 ]
}

@test "an mbox locked by fcntl is waited for, then left for later, with nothing lost" {
	start_fakepop -e 'messages 3'
	printf 'From a@example.org Thu Nov 19 18:00:00 2026\n\nold\n\n' >mbox
	cp mbox before
	account a "deliver = \"mbox:$HOME/mbox\"" 'lock-timeout = "1s"' 'keep = "never"' | write_config
	hold_lock mbox
	run --separate-stderr pophaul -v
	assert_status 75
	assert_stderr_has "'$HOME/mbox' is locked by another program"
	cmp mbox before
	[ ! -e mbox.lock ]
	assert_equal "$(transcript | grep -c DELE)" 0
	# Now it is given back while we wait.
	account a "deliver = \"mbox:$HOME/mbox\"" 'lock-timeout = "30s"' 'keep = "never"' | write_config
	pophaul 3>&- &
	wait_until 20 test -e mbox.lock
	cmp mbox before
	release_lock
	wait $!
	[ "$(grep -c '^From ' mbox)" -eq 4 ]
	assert_equal "$(transcript_events 2 | grep -c deleted)" 3
}

@test "a dot lock is respected, waited for, and left alone when it stays" {
	local pid

	start_fakepop -e 'messages 3'
	account a "deliver = \"mbox:$HOME/mbox\"" 'lock-timeout = "1s"' | write_config
	echo $$ >mbox.lock
	run --separate-stderr pophaul -v
	assert_status 75
	assert_stderr_has "'$HOME/mbox' is locked by another program ('$HOME/mbox.lock')"
	assert_equal "$(cat mbox.lock)" $$
	[ ! -e mbox ]
	# One without a process, as some programs write it, is no staler for that.
	echo 0 >mbox.lock
	run pophaul
	assert_status 75
	# Nothing but the lock is there of ours and theirs.
	assert_equal "$(echo mbox*)" mbox.lock
	account a "deliver = \"mbox:$HOME/mbox\"" 'lock-timeout = "30s"' | write_config
	pophaul 3>&- &
	pid=$!
	wait_until 20 bash -c '[ "$(sed -n "s/^3> //p" "$0" | grep -c RETR)" -eq 3 ]' "$TRANSCRIPT"
	[ ! -e mbox ]
	rm mbox.lock
	wait "$pid"
	[ "$(grep -c '^From ' mbox)" -eq 3 ]
	assert_equal "$(echo mbox*)" mbox
}

@test "a stale dot lock is removed: its process is gone, or it is too old" {
	local dead owner

	start_fakepop -e 'messages 2'
	sleep 0 &
	dead=$!
	wait "$dead"
	# A number alone may be that of a process on another machine.
	account a "deliver = \"mbox:$HOME/mbox\"" 'lock-timeout = "1s"' | write_config
	for owner in "$dead" "$dead:other.example.org"; do
		echo "$owner" >mbox.lock
		run pophaul
		assert_status 75
		assert_equal "$(cat mbox.lock)" "$owner"
	done
	account a "deliver = \"mbox:$HOME/mbox\"" 'lock-timeout = "20s"' | write_config
	echo "$dead:$(uname -n)" >mbox.lock
	pophaul
	assert_equal "$(echo mbox*)" mbox
	rm -r "$STATE"
	echo 0 >mbox.lock
	touch -d '10 minutes ago' mbox.lock
	pophaul
	assert_equal "$(echo mbox*)" mbox
	[ "$(grep -c '^From ' mbox)" -eq 4 ]
}

@test "two accounts fill one mbox at the same time, and no message is torn" {
	local name port

	# Two groups of one size that are complete at one moment: the servers wait for each other.
	for name in one two; do
		mkdir "$name"
		for n in {1..12}; do
			{
				printf 'Subject: %s\n\n' "$n"
				yes "From $name $n $(printf '%0990d' "$n")" | head -c 2000000
			} >"$name/$name-$n"
		done
	done
	start_fakepop --folder one -e "on RETR 12 touch $HOME/1; await $HOME/2; normal"
	port=$PORT
	start_fakepop --folder two -e "on RETR 12 touch $HOME/2; await $HOME/1; normal"
	{
		account a "port = $port" "deliver = \"mbox:$HOME/mbox\""
		account b "deliver = \"mbox:$HOME/mbox\""
	} | write_config
	run pophaul
	assert_status 0
	cp two/* one
	assert_mbox_has one mbox
}

@test "the torn end of an mbox whose writer was killed is cut off, and the message comes again" {
	local end

	corpus folder
	start_fakepop --folder folder
	printf 'From a@example.org Thu Nov 19 18:00:00 2026\nSubject: old\n\nold\n\n' >mbox
	account a "deliver = \"mbox:$HOME/mbox\"" | write_config
	pophaul
	# As a session leaves it that is killed while it appends its last message: all are
	# announced, none is recorded.
	sed -i '/^got /d' "$STATE/a.uidl"
	"$TESTS/state-sum" "$STATE/a.uidl"
	[ "$(grep -c '^try ' "$STATE/a.uidl")" -eq 25 ]
	end=$(($(stat -c %s mbox) - 1000))
	truncate -s "$end" mbox
	run --separate-stderr pophaul -v
	assert_status 0
	assert_stderr_has 'an earlier session died while delivering 25 messages: 24 had arrived'
	printf 'Subject: old\n\nold\n' >folder/00-old
	assert_mbox_has folder mbox
	assert_equal "$(transcript 2 | grep RETR)" 'RETR 25'
}

# ---- what is added, and the order of things ----

@test "received = yes adds one line at the top, with the host and the time, and nothing else" {
	odd folder
	rm folder/v-20m folder/[u]-*
	cp "$TESTS"/corpus/*.eml folder
	start_fakepop --folder folder
	make_taker
	{
		account one 'received = yes'
		account two 'received = yes' "deliver = \"mbox:$HOME/mbox\""
		account three 'received = yes' "deliver = \"pipe:$HOME/take $HOME/taken\""
	} | write_config
	TZ=Asia/Kolkata pophaul
	mkdir in-mbox
	python3 - <<-'EOF'
		import mailbox, re
		box = mailbox.mbox("mbox", create=False)
		for key in box.keys():
		    with open("in-mbox/%s" % key, "wb") as file:
		        file.write(re.sub(rb"(?m)^>(>*From )", rb"\1", box.get_bytes(key)))
	EOF
	for where in one=Maildir/new two=in-mbox three=taken; do
		python3 - "${where#*=}" "${where%=*}" "$HOST" <<-'EOF'
			import os, re, socket, sys
			folder, account, host = sys.argv[1:]
			for name in os.listdir(folder):
			    with open(os.path.join(folder, name), "rb+") as file:
			        text = file.read()
			        line = re.match(
			            rb"Received: from %s \(POP3 server\)\n\tby %s with POP3 for %s;\n"
			            rb"\t\w{3}, \d+ \w{3} 20\d\d \d\d:\d\d:\d\d \+0530\n"
			            % (host.encode(), re.escape(socket.gethostname().encode()), account.encode()), text)
			        assert line, text[:200]
			        file.seek(0)
			        file.write(text[line.end():])
			        file.truncate()
		EOF
		assert_equal "$(sha256sum "${where#*=}"/* | cut -d ' ' -f 1 | sort)" "$(folder_digests folder)"
	done
	# What is known is known without that line.
	[ "$(grep -c '^got ' "$STATE/one.uidl")" -eq "$(count_files folder)" ]
	rm "$STATE/one.uidl"
	account one | write_config
	pophaul
	sed -n 's/^got [0-9]* //p' "$STATE/one.uidl" | sort >without
	sed -n 's/^got [0-9]* //p' "$STATE/two.uidl" | sort >with
	cmp without with
}

# trace_steps: run the program, and tell in their order, from the first RETR on: what is written and what is synced (a
# letter a descriptor, in the order of their appearance), renames, links, and the client's commands of eight
# octets, which are RETR N and DELE N. The contents of the calls are hidden: the program's memory is closed to
# whoever is not root.
trace_steps() {
	# Leaks cannot be looked for under strace.
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 timeout -k 5 60 strace -f -o calls \
		-e trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,write,pwrite64,sendto,ftruncate,unlink \
		"$BUILD/pophaul" >&2
	python3 - <<-'EOF'
		import re
		steps, letters, server = [], {}, {}
		with open("calls") as file:
		    for line in file:
		        call = re.match(r"\d+ +(\w+)\(([^,)]+)", line)
		        if not call or "= -1" in line:
		            continue
		        name, fd = call.groups()
		        if re.search(r"sendto\(.*, 14, MSG_NOSIGNAL", line) and fd == server.setdefault("fd", fd):
		            steps.append("command")
		        elif name in ("fsync", "fdatasync", "syncfs", "write", "pwrite64") and steps:
		            name = {"write": "write", "pwrite64": "write", "syncfs": "syncfs"}.get(name, "sync")
		            steps.append(name + "-" + letters.setdefault(fd, chr(ord("a") + len(letters))))
		        elif name in ("rename", "renameat2", "link", "linkat", "unlink", "ftruncate") and steps:
		            steps.append(name)
		print(*steps)
	EOF
}

@test "a message is durable in new/ and recorded before the server is told to delete it" {
	start_fakepop -e 'messages 1' -e 'session 2+ message Subject: late' -e 'session 2+ hide 1'
	# What is made at the first start is not of interest here.
	account a | write_config
	pophaul
	account a 'keep = "never"' | write_config
	run trace_steps
	assert_status 0
	# The file, tmp/, "try" in the state, new/, "got" in the state; more of it follows in the end.
	assert_output_matches "^command write-a sync-a sync-b write-c sync-c renameat2 sync-d write-c sync-c \
command( write-c sync-c)+\$"
	[ "$(count_files Maildir/new)" -eq 2 ]
	# Many at once are synced at once.
	start_fakepop --synthetic 50 500
	account b 'keep = "never"' | write_config
	run trace_steps
	assert_equal "$(grep -oE '(syncfs|renameat2)\(' calls | uniq | head -n 2 | xargs)" 'syncfs( renameat2('
}

@test "a message is durable in the mbox and recorded before the server is told to delete it" {
	start_fakepop -e 'messages 1' -e 'session 2+ message Subject: late' -e 'session 2+ hide 1'
	account a "deliver = \"mbox:$HOME/mbox\"" | write_config
	pophaul
	account a 'keep = "never"' "deliver = \"mbox:$HOME/mbox\"" | write_config
	run trace_steps
	assert_status 0
	# The spool; the dot lock; "try"; From_ line and text; "got"; only then the lock is given back.
	assert_output_matches "^command write-a write-b (linkat|link unlink) write-c sync-c write-b write-b sync-b \
write-c sync-c unlink ftruncate command( write-c sync-c)+\$"
	[ "$(grep -c '^From ' mbox)" -eq 2 ]
}
