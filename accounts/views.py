"""Pages of one's own account."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from allauth.account import views as allauth_views
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_POST
from django.views.generic import UpdateView
from wagtail.admin.views.account import AccountView, NotificationsSettingsPanel, ThemeSettingsPanel

from accounts.forms import ProfileForm
from accounts.models import User


class ConfirmEmailView(allauth_views.ConfirmEmailView):
    """Show what a link confirms, confirm on POST; answer 404 to wrong and expired links."""

    def get(self, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().get(*args, **kwargs)
        if self.object is None:
            response.status_code = HTTPStatus.NOT_FOUND
        return response

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().post(*args, **kwargs)
        except Http404:
            return self.get(*args, **kwargs)

    def logout_other_user(self, confirmation: Any) -> None:
        """Leave another user logged in until the button is pressed: a GET changes nothing."""
        if self.request.method == "POST":
            super().logout_other_user(confirmation)


class PasswordResetFromKeyView(allauth_views.PasswordResetFromKeyView):
    """Let a user set a new password; answer 404 to wrong and expired links."""

    reset_user = None

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(*args, **kwargs)
        if self.reset_user is None and response.status_code == HTTPStatus.OK:
            response.status_code = HTTPStatus.NOT_FOUND
        return response


class ProfileView(LoginRequiredMixin, UpdateView):
    form_class = ProfileForm
    template_name = "accounts/profile.html"
    success_url = reverse_lazy("account_profile")

    def get_object(self, queryset: Any = None) -> User:
        """Return the user's own row anew, so that a refused form does not change request.user."""
        return User.objects.get(pk=self.request.user.pk)

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        response = super().form_valid(form)
        with override(form.cleaned_data["language"] or None):
            messages.success(self.request, _("Your profile is saved."))
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # The refused form's instance holds what was typed; the page shows what is stored.
        return super().get_context_data(person=self.request.user, **kwargs)


@require_POST
@login_required
def remove_avatar(request: HttpRequest) -> HttpResponse:
    User.objects.get(pk=request.user.pk).set_avatar(None)
    messages.success(request, _("Your avatar is removed."))
    return redirect("account_profile")


class AdminAccountView(AccountView):
    """Wagtail's account page, for what only concerns the admin; all else is in the profile."""

    def get_panels(self) -> list[Any]:
        own = (ThemeSettingsPanel, NotificationsSettingsPanel)
        return [panel for panel in super().get_panels() if isinstance(panel, own)]
