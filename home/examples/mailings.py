"""Clients, messages and mailings of the example data."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from django.utils import timezone

from accounts.models import User
from home.examples.pictures import draw_picture
from mailings import reasons
from mailings.delivery import letter
from mailings.models import Attempt, Client, ClientList, Delivery, Mailing, Message, Picture
from mailings.runs import give_up_addresses

Status = Delivery.Status

CLUB, REGULARS, WHOLESALE = "Чайный клуб", "Постоянные покупатели", "Опт"
RIDERS = "Велосипедисты"

# Name, address, lists, comment.
TEA_CLIENTS = [
    ("Анна Иванова", "anna.ivanova@example.com", [CLUB, REGULARS], "Любит светлые улуны"),
    ("Борис Кузнецов", "b.kuznetsov@example.org", [CLUB], ""),
    ("Вера Соколова", "vera.sokolova@example.com", [CLUB, REGULARS], ""),
    ("Григорий Попов", "g.popov@example.org", [CLUB], "Ходит на дегустации с сыном"),
    ("Дарья Морозова", "darya.morozova@example.com", [CLUB], ""),
    ("Евгений Волков", "e.volkov@example.org", [CLUB, REGULARS], ""),
    ("Жанна Фёдорова", "zhanna.fedorova@example.com", [CLUB], ""),
    ("Илья Никитин", "ilya.nikitin@example.org", [CLUB], ""),
    ("Кира Зайцева", "kira.zaitseva@example.com", [CLUB, REGULARS], "Аллергия на жасмин"),
    ("Лев Павлов", "lev.pavlov@example.org", [CLUB], ""),
    ("Emma Johansson", "emma.johansson@example.com", [CLUB], "Пишем по-русски, понимает"),
    ("Lukas Weber", "lukas.weber@example.org", [CLUB], ""),
    ("Марина Голубева", "marina.golubeva@example.com", [REGULARS], ""),
    ("Никита Виноградов", "n.vinogradov@example.org", [REGULARS], "Самовывоз по субботам"),
    ("Оксана Богданова", "oksana.bogdanova@example.com", [REGULARS], ""),
    ("Пётр Воробьёв", "petr.vorobiev@example.org", [REGULARS], ""),
    ("Раиса Филиппова", "raisa.filippova@example.com", [REGULARS], ""),
    ("Сергей Комаров", "s.komarov@example.org", [REGULARS], ""),
    ("Таисия Беляева", "taisiya.belyaeva@example.com", [REGULARS], ""),
    ("Ульяна Гусева", "ulyana.guseva@example.org", [REGULARS], "Подарочные наборы к Новому году"),
    ("Фёдор Титов", "fedor.titov@example.com", [], ""),
    ("Юлия Макарова", "yulia.makarova@example.org", [], ""),
    ("Ярослав Ильин", "yaroslav.ilyin@example.com", [], "Просил писать не чаще раза в месяц"),
    ("Кофейня «Зерно»", "zakupki.zerno@example.org", [WHOLESALE], "Договор до конца года"),
    ("Гостиница «Волга»", "volga.hotel@example.com", [WHOLESALE], ""),
    ("Ресторан «Терраса»", "terrasa@example.org", [WHOLESALE], "Оплата по счёту"),
    ("Nordic Tea House", "orders.nordic@example.com", [WHOLESALE], ""),
    ("Магазин «Самовар»", "samovar.shop@example.org", [WHOLESALE], ""),
]
BIKE_CLIENTS = [
    ("Анна Иванова", "Anna.Ivanova@example.com", [RIDERS], "Городской велосипед"),
    ("Евгений Волков", "e.volkov@example.org", [RIDERS], ""),
    ("Алексей Громов", "a.gromov@example.com", [RIDERS], "Шоссе, обслуживание дважды в год"),
    ("Валентина Жукова", "v.zhukova@example.org", [RIDERS], ""),
    ("Денис Крылов", "denis.krylov@example.com", [RIDERS], ""),
    ("Екатерина Тихонова", "e.tikhonova@example.org", [RIDERS], "Детское кресло"),
    ("Максим Субботин", "m.subbotin@example.com", [RIDERS], ""),
    ("Наталья Ершова", "n.ershova@example.org", [RIDERS], ""),
    ("Олег Дроздов", "oleg.drozdov@example.com", [RIDERS], ""),
    ("Полина Щукина", "polina.schukina@example.org", [RIDERS], ""),
    ("Sofia Rossi", "sofia.rossi@example.com", [RIDERS], ""),
    ("Эдуард Чернов", "e.chernov@example.org", [RIDERS], ""),
]
# Before the first run of the examples, 30 days ago.
KNOWN_FOR = timedelta(days=60)
UNSUBSCRIBED = "raisa.filippova@example.com"
NO_SUCH_BOX = "petr.vorobiev@example.org"


def make_mailings() -> dict[str, int]:
    """Create what is not there yet, by its natural keys; return how many rows of each kind."""
    before = count_rows()
    make_tea_shop(User.objects.get(email="user@example.com"))
    make_bike_shop(User.objects.get(email="partner@example.com"))
    return {name: number - before[name] for name, number in count_rows().items()}


def count_rows() -> dict[str, int]:
    return {
        "clients": Client.objects.count(),
        "messages": Message.objects.count(),
        "mailings": Mailing.objects.count(),
    }


def make_tea_shop(owner: User) -> None:
    make_clients(owner, TEA_CLIENTS)
    Client.objects.filter(owner=owner, email=UNSUBSCRIBED, unsubscribed_at=None).update(
        unsubscribed_at=timezone.now() - timedelta(days=15)
    )
    make_mailing(
        owner,
        "Дегустация в субботу",
        make_message(owner, "{{ client.full_name }}, ждём вас на дегустации в субботу", TASTING),
        lists=[CLUB],
        starts_at=timezone.now(),
    )
    make_mailing(
        owner,
        "Чай дня",
        make_message(owner, "Чай дня от «Чайной лавки»", TEA_OF_THE_DAY),
        lists=[REGULARS],
        periodicity=Mailing.Periodicity.DAILY,
        starts_at=morning(owner, days=1),
    )
    make_mailing(
        owner,
        "Новости недели",
        make_message(owner, "Что нового в «Чайной лавке»", WEEKLY_NEWS, picture=4),
        all_clients=True,
        periodicity=Mailing.Periodicity.WEEKLY,
        starts_at=morning(owner, days=7 - timezone.localdate().weekday()),
        ends_at=morning(owner, days=180),
    )
    make_finished(
        owner,
        "Осенний сбор пуэров",
        make_message(owner, "Пуэры осеннего сбора уже в лавке", AUTUMN, picture=2),
        lists=[REGULARS],
        starts_at=morning(owner, days=-10),
    )


def make_bike_shop(owner: User) -> None:
    make_clients(owner, BIKE_CLIENTS)
    message = make_message(owner, "Пора готовить велосипед к сезону", BIKE_SERVICE)
    make_finished(
        owner, "Весеннее обслуживание", message, lists=[RIDERS], starts_at=morning(owner, days=-30)
    )
    make_mailing(
        owner,
        "Напоминание об обслуживании",
        message,
        lists=[RIDERS],
        periodicity=Mailing.Periodicity.MONTHLY,
        starts_at=morning(owner, days=20),
    )


def morning(owner: User, *, days: int) -> datetime:
    """Return nine in the morning of the owner, so many days from today."""
    today = timezone.now().astimezone(owner.zone)
    return (today + timedelta(days=days)).replace(hour=9, minute=0, second=0, microsecond=0)


# --- Rows by their natural keys -------------------------------------------------------------


def make_clients(owner: User, rows: list[tuple[str, str, list[str], str]]) -> None:
    known = {email.lower() for email in owner.clients.values_list("email", flat=True)}
    for full_name, email, lists, comment in rows:
        if email.lower() in known:
            continue
        client = Client.objects.create(
            owner=owner, email=email, full_name=full_name, comment=comment
        )
        client.lists.set([get_list(owner, name) for name in lists])
        backdate(client, "created_at")


def get_list(owner: User, name: str) -> ClientList:
    return ClientList.objects.get_or_create(owner=owner, name=name)[0]


def make_message(
    owner: User, subject: str, blocks: list[dict], *, picture: int | None = None
) -> Message:
    message = Message.objects.filter(owner=owner, subject=subject).first()
    if message is None:
        if picture is not None:
            blocks = [make_image(owner, subject, picture), *blocks]
        message = Message.objects.create(owner=owner, subject=subject, body=json.dumps(blocks))
        message.save_revision(user=owner)
        backdate(message, "created_at", "updated_at")
    return message


def backdate(row: Client | Message, *fields: str) -> None:
    """Say that a row is older than the runs of the examples, which it took part in."""
    moment = timezone.now() - KNOWN_FOR
    type(row).objects.filter(pk=row.pk).update(**dict.fromkeys(fields, moment))


def make_image(owner: User, title: str, number: int) -> dict[str, object]:
    picture = Picture.objects.filter(owner=owner, title=title).first()
    if picture is None:
        file = draw_picture(number, f"example-{number}.jpg")
        picture = Picture.objects.create(owner=owner, title=title, file=file)
    value = {"picture": picture.pk, "alt": "Открытка: конверт на цветном фоне", "link": ""}
    return {"type": "image", "value": value}


def make_mailing(
    owner: User, name: str, message: Message, *, lists: list[str] | None = None, **fields: object
) -> Mailing:
    """Return the owner's mailing of this name; create it where there is none."""
    mailing = Mailing.objects.filter(owner=owner, name=name).first()
    if mailing is None:
        mailing = Mailing.objects.create(owner=owner, name=name, message=message, **fields)
        mailing.lists.set([get_list(owner, name) for name in lists or []])
    return mailing


def make_finished(owner: User, name: str, message: Message, **fields: object) -> None:
    """Make a mailing that has run, with the attempt and the deliveries of its run."""
    mailing = make_mailing(owner, name, message, **fields)
    if mailing.attempts.exists():
        return
    attempt = record_run(mailing)
    record_deliveries(attempt, mailing)
    # The mailing learns from its attempt that nothing is left to do.
    mailing.save()


def record_run(mailing: Mailing) -> Attempt:
    content = letter.compose(mailing.message)
    end = mailing.starts_at + timedelta(seconds=8)
    return Attempt.objects.create(
        mailing=mailing,
        message=mailing.message,
        slot=mailing.starts_at,
        started_at=mailing.starts_at,
        last_attempt_at=end,
        subject=content.subject,
        html=content.html,
        text=content.text,
    )


def record_deliveries(attempt: Attempt, mailing: Mailing) -> None:
    """Write a row for everybody in the audience and close the attempt with their sums."""
    clients = mailing.audience()
    deliveries = [record_delivery(attempt, client) for client in clients]
    Delivery.objects.bulk_create(deliveries)
    attempt.planned = len(deliveries)
    for status in (Status.ACCEPTED, Status.REJECTED, Status.SKIPPED):
        setattr(attempt, status.value, sum(row.status == status for row in deliveries))
    complete = not attempt.rejected
    attempt.status = Attempt.Status.SUCCESS if complete else Attempt.Status.PARTIAL
    attempt.server_response = "250 2.0.0 Ok: queued" if complete else "550 5.1.1 User unknown"
    attempt.finished_at = attempt.last_attempt_at
    attempt.save()
    give_up_addresses(attempt.pk)


def record_delivery(attempt: Attempt, client: Client) -> Delivery:
    row = Delivery(
        attempt=attempt, client=client, email=client.email, updated_at=attempt.last_attempt_at
    )
    if client.unsubscribed_at:
        row.status, row.response = Status.SKIPPED, reasons.UNSUBSCRIBED
    elif client.email == NO_SUCH_BOX:
        row.status, row.tries, row.code = Status.REJECTED, 1, 550
        row.response = "550 5.1.1 User unknown"
    else:
        row.status, row.tries, row.code = Status.ACCEPTED, 1, 250
        row.response = "250 2.0.0 Ok: queued"
    return row


# --- Letters --------------------------------------------------------------------------------


def heading(text: str) -> dict[str, object]:
    return {"type": "heading", "value": text}


def text(*paragraphs: str) -> dict[str, object]:
    return {"type": "text", "value": "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)}


def button(label: str, link: str) -> dict[str, object]:
    return {"type": "button", "value": {"text": label, "link": link}}


DIVIDER: dict[str, object] = {"type": "divider", "value": None}

TASTING = [
    heading("Дегустация улунов в субботу"),
    text(
        "Здравствуйте, {{ client.full_name }}!",
        "В эту субботу в 12:00 завариваем четыре улуна: два тайваньских и два из Уишаня. "
        "Расскажем, чем они отличаются и как заваривать их дома, чтобы чай не горчил.",
        "Встреча для клуба бесплатная, мест двенадцать.",
    ),
    button("Записаться", "https://example.com/tasting"),
    DIVIDER,
    text("Если планы изменились, просто ответьте на это письмо."),
]
TEA_OF_THE_DAY = [
    heading("Сегодня завариваем Да Хун Пао"),
    text(
        "Тёмный улун из Уишаня: печёные яблоки, орех и немного дыма.",
        "<b>Как заварить:</b> 6 граммов на 120 миллилитров, вода 95 градусов, "
        "первая заварка десять секунд.",
    ),
    button("Открыть в лавке", "https://example.com/tea/da-hun-pao"),
]
WEEKLY_NEWS = [
    heading("Что нового за неделю"),
    text(
        "{{ client.full_name }}, собрали для вас главное.",
        "Приехали белые чаи из Фудина, вернулись в продажу глиняные чайники, "
        "а по четвергам лавка теперь открыта до девяти вечера.",
    ),
    button("Посмотреть новинки", "https://example.com/new"),
]
AUTUMN = [
    heading("Пуэры осеннего сбора"),
    text(
        "Здравствуйте, {{ client.full_name }}!",
        "Первые блины осеннего сбора приехали в лавку. Их немного, поэтому постоянным "
        "покупателям рассказываем раньше всех.",
    ),
    button("Выбрать", "https://example.com/puer"),
]
BIKE_SERVICE = [
    heading("Пора готовить велосипед"),
    text(
        "Здравствуйте, {{ client.full_name }}!",
        "Перед сезоном стоит проверить тормоза, натянуть спицы и смазать цепь. "
        "Мы сделаем это за день, а на время ремонта дадим подменный велосипед.",
    ),
    button("Выбрать день", "https://example.com/service"),
]
