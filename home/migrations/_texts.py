"""What the home page says on a fresh site, in both languages."""

from __future__ import annotations

from typing import Any

RU: dict[str, Any] = {
    "title": "Главная",
    "seo_title": "Вестник: рассылки по почте, которые уходят вовремя",
    "blog": "Блог",
    "blog_lead": "Как писать письма, которые читают, и рассылать их так, чтобы они доходили.",
    "hero": {
        "title": "Рассылки, которые уходят вовремя",
        "lead": "Соберите клиентов в списки, напишите письмо один раз и выберите время. "
        "Вестник отправит его, повторит, когда нужно, и покажет, кто получил, а кто нет и почему.",
        "note": "Нужен только почтовый ящик. Карта не нужна.",
    },
    "features_title": "Всё, что нужно рассылке",
    "features_lead": "Шесть вещей, без которых письма не доходят, а отчётам не верят.",
    "features": [
        (
            "people",
            "Клиенты и списки",
            "Адреса, имена и заметки в одном месте. Повторы видны сразу, "
            "отписавшиеся писем не получают.",
        ),
        (
            "letter",
            "Письма из блоков",
            "Заголовок, текст, картинка, кнопка. Рядом с формой видно письмо таким, "
            "каким его откроет клиент.",
        ),
        (
            "clock",
            "Расписание",
            "Один раз, каждый день, неделю или месяц, в вашем часовом поясе и до назначенного дня.",
        ),
        (
            "server",
            "Бережная отправка",
            "Если почтовый сервер занят или недоступен, рассылка подождёт и продолжит "
            "с того места, где остановилась.",
        ),
        (
            "chart",
            "Честные отчёты",
            "По каждой рассылке: сколько писем принято, сколько отклонено и что ответил сервер.",
        ),
        (
            "door",
            "Отписка в одно нажатие",
            "Ссылка и кнопка отписки есть в каждом письме, как того требуют почтовые службы.",
        ),
    ],
    "steps_title": "От пустого списка до отчёта",
    "steps": [
        (
            "Добавьте клиентов",
            "Адрес и имя. Разложите их по спискам: постоянные, новые, участники встреч.",
        ),
        (
            "Напишите письмо",
            "Соберите его из блоков. Обращение по имени подставится каждому клиенту своё.",
        ),
        (
            "Выберите время",
            "Один раз или регулярно. Письмо уйдёт в назначенный час по вашему времени, "
            "и после перевода часов тоже.",
        ),
        (
            "Прочитайте отчёт",
            "У каждого получателя свой итог и ответ почтового сервера. Мёртвые адреса видно сразу.",
        ),
    ],
    "quotes_title": "Ответ сервера, слово в слово",
    "quotes_lead": "Почтовые серверы говорят прямо. Вестник передаёт вам их слова "
    "и делает то, чего они требуют.",
    "quotes": [
        (
            "250 2.0.0 Ok: queued",
            "Письмо принято",
            "В отчёте оно отмечено как принятое. Второй раз этому получателю оно не уйдёт.",
        ),
        (
            "452 4.2.2 The recipient's inbox is out of storage space",
            "Ящик переполнен",
            "Попробуем снова через 5 минут, потом через 15, через час и реже, "
            "пока не кончится рассылка.",
        ),
        (
            "550 5.1.1 No such user here",
            "Адреса нет",
            "Больше не пробуем. Вы видите ответ и можете исправить опечатку или удалить клиента.",
        ),
    ],
    "questions_title": "Спрашивают чаще всего",
    "questions": [
        (
            "Что будет, если почтовый сервер сломается посреди рассылки?",
            "<p>Ничего не потеряется. Рассылка ждёт, проверяет сервер всё реже и продолжает с того "
            "же получателя. Никому не засчитают отказ из-за чужой поломки, а вы увидите, "
            "с какого времени сервер не отвечает и когда будет следующая попытка.</p>",
        ),
        (
            "Получит ли кто-нибудь письмо дважды?",
            "<p>На каждого получателя в каждой рассылке одна запись, и письмо уходит по ней один "
            "раз. Если связь оборвалась ровно между письмом и ответом сервера, никто не знает, "
            "дошло ли оно. Что делать с такими письмами, решаете вы: отправить ещё раз или "
            "оставить как есть.</p>",
        ),
        (
            "Видят ли другие компании моих клиентов?",
            "<p>Нет. Клиенты, списки, письма и отчёты видны только вам. Менеджер сервиса видит "
            "рассылки, чтобы остановить нежелательную, но не меняет их и не видит вашу базу.</p>",
        ),
        (
            "Можно ли остановить рассылку, которая уже идёт?",
            "<p>Да. Через секунду после выключения не уйдёт ни одно новое письмо. "
            "То же с отпиской: согласие проверяется перед каждым письмом.</p>",
        ),
        (
            "Что делает отписка?",
            "<p>В каждом письме есть ссылка и кнопка почтовой службы. Одно нажатие, и этот адрес "
            "больше не получает ваших писем, даже если добавить его заново.</p>",
        ),
    ],
    "posts_title": "Из блога",
    "call": {
        "title": "Первая рассылка может уйти сегодня",
        "text": "Зарегистрируйтесь по почте, добавьте клиентов, напишите письмо и выберите час.",
        "button": "Зарегистрироваться",
    },
}

EN: dict[str, Any] = {
    "title": "Home",
    "seo_title": "Vestnik: e-mail mailings that go out on time",
    "blog": "Blog",
    "blog_lead": "How to write letters that people read, and to send them so that they arrive.",
    "hero": {
        "title": "Mailings that go out on time",
        "lead": "Gather your clients in lists, write a letter once and choose the hour. Vestnik "
        "sends it, repeats it when you want, and shows who got it, who did not, and why.",
        "note": "All you need is a mailbox. No card.",
    },
    "features_title": "Everything a mailing needs",
    "features_lead": "Six things without which letters do not arrive and reports are not believed.",
    "features": [
        (
            "people",
            "Clients and lists",
            "Addresses, names and notes in one place. Duplicates show at once, and nobody "
            "who unsubscribed gets a letter.",
        ),
        (
            "letter",
            "Letters made of blocks",
            "Heading, text, picture, button. Beside the form you see the letter as your "
            "client will.",
        ),
        (
            "clock",
            "A timetable",
            "Once, daily, weekly or monthly, in your own time zone and until the day you set.",
        ),
        (
            "server",
            "Careful sending",
            "When the mail server is busy or away, the mailing waits and goes on where it stopped.",
        ),
        (
            "chart",
            "Honest reports",
            "For every mailing: how many letters were accepted, how many were not, and what "
            "the server said.",
        ),
        (
            "door",
            "Unsubscribing in one click",
            "Every letter holds the link and the button, as mail services ask for.",
        ),
    ],
    "steps_title": "From an empty list to a report",
    "steps": [
        (
            "Add clients",
            "An address and a name. Sort them into lists: regulars, newcomers, guests of events.",
        ),
        (
            "Write a letter",
            "Put it together from blocks. Each client is greeted by their own name.",
        ),
        (
            "Choose the time",
            "Once or again and again. It goes out at that hour of your clock, "
            "and when the clocks change, too.",
        ),
        (
            "Read the report",
            "Each recipient has an outcome and the mail server's reply. Dead addresses show at once.",
        ),
    ],
    "quotes_title": "The server's answer, word for word",
    "quotes_lead": "Mail servers speak plainly. Vestnik passes their words on to you "
    "and does what they ask for.",
    "quotes": [
        (
            "250 2.0.0 Ok: queued",
            "The letter is accepted",
            "The report marks the recipient as reached. No second letter goes there.",
        ),
        (
            "452 4.2.2 The recipient's inbox is out of storage space",
            "The mailbox is full",
            "We try again after 5 minutes, after 15, after an hour and more rarely, "
            "until the mailing ends.",
        ),
        (
            "550 5.1.1 No such user here",
            "There is no such address",
            "We try no more. You see the reply and can mend a typing error or delete the client.",
        ),
    ],
    "questions_title": "What people ask most",
    "questions": [
        (
            "What if the mail server breaks down in the middle of a mailing?",
            "<p>Nothing is lost. The mailing waits, asks the server less and less often and goes on "
            "with the same recipient. Nobody is marked as refused for somebody else's breakdown, and "
            "you see since when the server has been silent and when it is asked next.</p>",
        ),
        (
            "Can anybody get a letter twice?",
            "<p>Each recipient of each run has one record, and by it one letter goes out. If the "
            "connection breaks exactly between a letter and the server's answer, nobody knows "
            "whether it arrived. You decide what happens to such letters: they are sent again, or "
            "left as they are.</p>",
        ),
        (
            "Do other companies see my clients?",
            "<p>No. Clients, lists, letters and reports are yours alone. A manager of the service "
            "sees mailings, to stop an unwanted one, but changes nothing and does not see your "
            "list.</p>",
        ),
        (
            "Can I stop a mailing that is going out?",
            "<p>Yes. A second after you switch it off no new letter starts. The same holds for "
            "unsubscribing: consent is read again before every letter.</p>",
        ),
        (
            "What does unsubscribing do?",
            "<p>Every letter holds a link, and the button of the mail service. One click, and the "
            "address gets no more of your letters, even if it is added anew.</p>",
        ),
    ],
    "posts_title": "From the blog",
    "call": {
        "title": "Your first mailing can go out today",
        "text": "Sign up by e-mail, add clients, write a letter and choose the hour.",
        "button": "Sign up",
    },
}

TEXTS = {"ru": RU, "en": EN}
