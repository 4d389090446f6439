"""Posts of the example data in English, translations of Russian ones."""

from __future__ import annotations

from home.examples.post import Post

POSTS = [
    Post(
        "your-first-mailing",
        "Your first mailing: where to begin",
        "Five steps from an empty table of addresses to a letter that people answer.",
        [
            (
                "text",
                "<p>A first mailing is rarely perfect, and that is all right. What counts is that it "
                "is honest: you write to people who expect it, and tell them what they can use.</p>"
                "<h2>1. Gather addresses you may write to</h2>"
                "<p>Buyers who left their address with an order, guests of your events, readers of "
                "your site. Bought lists will not do: letters to them land in spam and spoil the "
                "name of your domain for months.</p>"
                "<h2>2. Sort clients into lists</h2>"
                "<p>Regulars and those who came once care for different things. Two or three lists "
                "are enough to begin with.</p>"
                "<h2>3. Write one letter about one thing</h2>"
                "<p>One piece of news, one button. If you have three, write three letters or choose "
                "the one that matters.</p>",
            ),
            (
                "quote",
                "A good letter can be retold in one sentence. If it cannot, there is too much in it.",
            ),
            (
                "text",
                "<h2>4. Send the letter to yourself</h2>"
                "<p>Open it on your telephone. Does the whole subject fit? Can you press the button "
                "with a thumb? Did the client's name land in its place?</p>"
                "<h2>5. Choose the hour and wait for the report</h2>"
                "<p>After sending, look at the report: how many letters were accepted, which addresses "
                "do not exist. Delete those at once, and the next mailing will arrive better.</p>",
            ),
        ],
        days_ago=2,
        views=211,
        category="letters",
        author="olga",
        tags=["beginning", "lists"],
        translates="pervaya-rassylka",
    ),
    Post(
        "why-letters-land-in-spam",
        "Why letters land in spam, and what to do about it",
        "SPF, DKIM and DMARC in plain words, and three more reasons that people forget.",
        [
            (
                "text",
                "<p>A mail service decides within a split second: inbox, spam, or refusal. It looks at "
                "three things: who sent the letter, what this sender did before, and how recipients "
                "react.</p>"
                "<h2>Sign your mail</h2>"
                "<p><b>SPF</b> says which servers may send in the name of your domain. <b>DKIM</b> puts "
                "a signature under the letter. <b>DMARC</b> explains what to do when one of the two "
                "does not match. These are three records in the settings of the domain, half an hour "
                "of work as a rule.</p>"
                "<h2>Let people leave</h2>"
                "<p>Whoever cannot find the link to unsubscribe presses “Spam”. One such complaint "
                "does more harm than ten who leave. Vestnik adds the link to every letter, and the "
                "headers by which mail programs show a button of their own.</p>"
                "<h2>Keep your list clean</h2>"
                "<p>Letters to addresses that do not exist are the mark of a bought list. Delete the "
                "addresses to which a server answered “no such mailbox” (code 550).</p>",
            ),
            ("quote", "The name of a domain takes months to earn and a day to lose."),
            (
                "text",
                "<h2>Do not begin with a thousand letters</h2>"
                "<p>A new domain is warmed up: a hundred letters on the first day, two hundred on the "
                "second. A sudden flood from an unknown address looks like a break-in.</p>",
            ),
        ],
        days_ago=16,
        views=1320,
        category="delivery",
        author="pavel",
        tags=["spam", "domain"],
        translates="pochemu-pisma-popadayut-v-spam",
    ),
    Post(
        "unsubscribing-is-good-news",
        "Unsubscribing is good news",
        "Why you should not hide the link, and what those who leave can teach you.",
        [
            (
                "text",
                "<p>Whoever unsubscribed gets no more letters they did not want, and does not complain "
                "about them. Your list became shorter and more exact, and delivery to the others "
                "better.</p>"
                "<h2>How it should look</h2>"
                "<ol><li>The link is in plain sight.</li>"
                "<li>One click, no login and no questionnaire.</li>"
                "<li>It works at once, also for a mailing that is going out.</li></ol>"
                "<p>Since 2024 the large mail services ask everybody who sends much for unsubscribing "
                "in one click: by RFC 8058 the mail program itself shows the button.</p>"
                "<h2>If many leave</h2>"
                "<p>Up to half a percent of a letter's readers is usual. More than one percent means "
                "one of three things: you write too often, not about what they came for, or to the "
                "wrong people. Begin with how often: that is easiest to mend.</p>",
            )
        ],
        days_ago=33,
        views=287,
        category="delivery",
        author="olga",
        tags=["unsubscribing", "spam"],
        translates="chestnaya-otpiska",
    ),
    Post(
        "what-a-mail-server-answers",
        "What a mail server answers, and how to read it",
        "250, 421, 452, 550: what the codes in a report mean, and which of them ask for action.",
        [
            (
                "text",
                "<p>In the report each letter stands beside the server's reply. The first digit of the "
                "code says nearly everything.</p>"
                "<h2>2: accepted</h2>"
                "<p><b>250</b>: the server took the letter and answers for it from here on.</p>"
                "<h2>4: try later</h2>"
                "<p><b>421</b>: the server is busy. <b>450</b> and <b>451</b>: it makes strangers wait. "
                "<b>452</b>: the mailbox is full. There is nothing to do: Vestnik tries again, first "
                "after minutes, then more rarely.</p>"
                "<h2>5: no</h2>"
                "<p><b>550</b> means most often that there is no such mailbox: mend the address or delete "
                "it. <b>552</b>: the letter is too large. <b>554</b>: the server takes it for "
                "unwanted; if there are many of these, check the signatures of your domain.</p>",
            ),
            (
                "table",
                {
                    "caption": "What Vestnik does",
                    "columns": [
                        {"type": "text", "heading": "Reply"},
                        {"type": "text", "heading": "What it means"},
                        {"type": "text", "heading": "What happens next"},
                    ],
                    "rows": [
                        {"values": ["250", "accepted", "the letter counts as accepted"]},
                        {"values": ["421, 450, 451", "busy, or checking", "another try"]},
                        {"values": ["452", "the mailbox is full", "tries, more and more rarely"]},
                        {"values": ["550", "no such mailbox", "no more tries"]},
                    ],
                },
            ),
            (
                "code",
                {
                    "title": "A talk with a server",
                    "code": "MAIL FROM:<news@example.com>\n250 2.1.0 Ok\n"
                    "RCPT TO:<anna@example.com>\n250 2.1.5 Ok\n"
                    "DATA\n354 End data with <CR><LF>.<CR><LF>\n250 2.0.0 Ok: queued",
                },
            ),
            (
                "text",
                "<p>When a server is out of reach as a whole, the recipient is not to blame. The mailing "
                "waits and goes on from where it stopped, and marks nobody as bad.</p>",
            ),
        ],
        days_ago=55,
        views=964,
        category="delivery",
        author="pavel",
        tags=["reports", "reply codes"],
        translates="chto-otvechaet-pochtovyj-server",
    ),
]
