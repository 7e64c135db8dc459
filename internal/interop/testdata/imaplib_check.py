"""Reads an account through Python's imaplib. Takes its task as JSON on stdin and prints
"ok", or ends with the assertion that failed."""
import email
import email.policy
import imaplib
import json
import re
import ssl
import sys
import time

task = json.load(sys.stdin)
context = ssl.create_default_context(cafile=task["certificate"])


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def text(data):
    return b" ".join(d if isinstance(d, bytes) else b" ".join(d) for d in data if d)


def read(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def fetch(conn, uid, item):
    """The literal of one item."""
    for part in ok(conn.uid("FETCH", uid, f"({item})")):
        if isinstance(part, tuple):
            return part[1]
    raise AssertionError(f"no {item} for {uid}")


def login_starttls():
    conn = imaplib.IMAP4(task["host"], task["imap"])
    ok(conn.starttls(context))
    ok(conn.login(task["user"], task["password"]))
    return conn


def search(conn, *criteria):
    return ok(conn.uid("SEARCH", *criteria))[0].split()


def check_reading(conn):
    count = ok(conn.select("INBOX", readonly=True))[0]
    assert count == b"2", count
    uids = search(conn, "ALL")
    assert len(uids) == 2, uids

    [secret] = search(conn, "BODY", task["secret_word"])
    conn.literal = task["secret_title"].encode()
    [same] = search(conn, "CHARSET", "UTF-8", "SUBJECT")
    assert same == secret, (same, secret)
    conn.literal = task["plain_word"].encode()
    [plain] = search(conn, "CHARSET", "UTF-8", "TEXT")
    assert {secret, plain} == set(uids), (secret, plain, uids)
    assert search(conn, "KEYWORD", "$Verified") == [secret]
    assert search(conn, "HEADER", "Message-ID", "<secret@client.example>") == [secret]
    assert search(conn, "FROM", task["sender"], "SINCE", "1-Jan-2020") == [secret]
    assert search(conn, "TEXT", "nothing-like-it") == []

    raw = fetch(conn, secret, "BODY.PEEK[]")
    check_secret(conn, secret, raw)
    message = read(fetch(conn, plain, "BODY.PEEK[]"))
    assert message["Subject"] == task["plain_title"], message["Subject"]
    assert message["Mailbridge-Security"] is None
    assert task["plain_word"] in message.get_content(), message.get_content()

    # Peeking has left no trace; reading in a mailbox that was examined leaves none either.
    fetch(conn, secret, "BODY[]")
    assert search(conn, "SEEN") == []
    return secret, raw


def check_secret(conn, uid, raw):
    message = read(raw)
    assert message["Subject"] == task["secret_title"], message["Subject"]
    assert task["sender"] in message["From"], message["From"]
    assert "trust=verified" in message["Mailbridge-Security"]
    body = message.get_body(("plain",)).get_content()
    assert task["secret_word"] in body, body
    [attachment] = list(message.iter_attachments())
    assert attachment.get_filename() == "recipe.bin"
    assert attachment.get_content() == task["secret_file"].encode(), attachment.get_content()

    info = text(ok(conn.uid("FETCH", uid, "(RFC822.SIZE FLAGS INTERNALDATE BODYSTRUCTURE ENVELOPE)")))
    size = int(re.search(rb"RFC822\.SIZE (\d+)", info).group(1))
    assert size == len(raw), (size, len(raw))
    assert b"$Encrypted" in info and b"INTERNALDATE" in info and b"secret@client.example" in info, info
    assert b'"recipe.bin"' in info, info

    # The message in pieces is the message.
    pieces, offset = [], 0
    while True:
        piece = fetch(conn, uid, f"BODY.PEEK[]<{offset}.100>")
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
    assert b"".join(pieces) == raw
    assert fetch(conn, uid, "RFC822.HEADER") + fetch(conn, uid, "BODY.PEEK[TEXT]") == raw
    assert fetch(conn, uid, "BODY.PEEK[1]<0.5>") == b"Heute"
    mime = fetch(conn, uid, "BODY.PEEK[2.MIME]")
    assert b"recipe.bin" in mime and mime.endswith(b"\r\n\r\n"), mime


def check_changing(conn, uid):
    ok(conn.select("INBOX"))
    ok(conn.uid("STORE", uid, "+FLAGS.SILENT", r"(\Seen \Flagged)"))
    assert search(conn, "SEEN", "FLAGGED") == [uid]
    ok(conn.uid("STORE", uid, "+FLAGS", "($Verified $Mine)"))
    ok(conn.uid("STORE", uid, "-FLAGS", "($Encrypted $Mine)"))
    assert search(conn, "KEYWORD", "$Encrypted") == [uid]
    assert search(conn, "KEYWORD", "$Mine") == []

    ok(conn.create("Archive"))
    copied = text(ok(conn.uid("MOVE", uid, "Archive")))
    copied += text(conn.response("COPYUID")[1] or [])
    assert search(conn, "KEYWORD", "$Encrypted") == [], copied
    message = ("From: %s\r\nSubject: appended\r\nMessage-ID: <appended@client.example>\r\n\r\nVogelbeeren\r\n" % task["user"]).encode()
    when = imaplib.Time2Internaldate(time.time() - 86400)
    answer = text(ok(conn.append("INBOX", r"(\Seen $Label1)", when, message)))
    appended = re.search(rb"APPENDUID \d+ (\d+)", answer).group(1)
    assert fetch(conn, appended, "BODY.PEEK[]") == message
    assert search(conn, "KEYWORD", "$Label1", "BEFORE", time.strftime("%d-%b-%Y")) == [appended]


def check_archive(conn, raw):
    count = ok(conn.select("Archive"))[0]
    assert count == b"1", count
    [uid] = search(conn, "SEEN", "FLAGGED", "KEYWORD", "$Verified")
    assert fetch(conn, uid, "BODY.PEEK[]") == raw
    ok(conn.close())


conn = login_starttls()
secret, raw = check_reading(conn)
check_changing(conn, secret)
check_archive(conn, raw)
conn.logout()

# The same over TLS from the first octet, in a session of its own: nothing was renumbered.
conn = imaplib.IMAP4_SSL(task["host"], task["imaps"], ssl_context=context)
ok(conn.login(task["user"], task["password"]))
check_archive(conn, raw)
names = text(ok(conn.list()))
for name in (b"INBOX", b"Archive", b"Drafts", b"Sent", b"Trash", b"Bridge"):
    assert name in names, names
try:
    conn.login("nobody", "wrong")
    raise SystemExit("a second login was taken")
except imaplib.IMAP4.error:
    pass
conn.logout()
print("ok")
