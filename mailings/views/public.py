"""Pages behind the links of letters. Their readers are clients, who never log in."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt

from mailings.models import Client
from mailings.unsubscribe import read_token


@method_decorator([csrf_exempt, cache_control(no_store=True, private=True)], name="dispatch")
class ClientPage(View):
    """A page for the client whom the token in the address names.

    The token is all the proof there is and all that is needed: no cookie, no session, no CSRF
    token, so that mail programs can post here by themselves (RFC 8058).
    """

    client: Client | None
    # Where the letter went: the client's row may hold another address by now.
    address: str

    def setup(self, request: HttpRequest, *args: str, **kwargs: str) -> None:
        super().setup(request, *args, **kwargs)
        self.client, self.address = find_client(kwargs["token"])

    def show(self, state: str) -> HttpResponse:
        token = self.kwargs["token"]
        return render_page(self.request, state, self.client, self.address, token)


class UnsubscribeView(ClientPage):
    """Ask on GET; unsubscribe on POST, as often as it comes, with a plain 200."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        if self.client is None:
            return self.show("gone")
        return self.show("unsubscribed" if self.client.refuses(self.address) else "ask")

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        if self.client is None:
            return self.show("gone")
        self.client.unsubscribe(self.address)
        return self.show("unsubscribed")


class ResubscribeView(ClientPage):
    """Take an unsubscription back, at the wish of the client."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return redirect("unsubscribe", token=token)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        if self.client is None:
            return self.show("gone")
        self.client.resubscribe(self.address)
        return self.show("subscribed")


class UnsubscribePreview(View):
    """Show where the link in the preview of a letter leads. Nobody is unsubscribed here."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return render_page(request, "preview", Client(), "anna@example.com")


def find_client(token: str) -> tuple[Client | None, str]:
    """Return the client, None if deleted since, and the address to which the letter went.

    A token that we never made is a 404.
    """
    try:
        client_id, attempt_id = read_token(token)
    except ValueError as error:
        raise Http404(_("This link is not complete.")) from error
    client = Client.objects.select_related("owner").filter(pk=client_id).first()
    if client is None:
        return None, ""
    letter = client.deliveries.filter(attempt_id=attempt_id).first()
    return client, letter.email if letter else client.email


def render_page(
    request: HttpRequest, state: str, client: Client | None, address: str, token: str = ""
) -> HttpResponse:
    context = {"state": state, "token": token}
    if client is not None:
        context["address"] = mask(address)
        context["company"] = company_of(client)
    response = render(request, "mailings/unsubscribe.html", context)
    response["X-Robots-Tag"] = "noindex, nofollow"
    # The address of this page is the right to unsubscribe: it is told to nobody.
    response["Referrer-Policy"] = "no-referrer"
    return response


def company_of(client: Client) -> str:
    name = client.owner.sender_name if client.owner_id else ""
    return name or settings.WAGTAIL_SITE_NAME


def mask(address: str) -> str:
    """Show enough of an address for its owner to know it, and no more."""
    name, _at, host = address.rpartition("@")
    return f"{name[:1]}•••@{host}"
