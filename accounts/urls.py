from __future__ import annotations

from django.urls import include, path, re_path

from accounts import views

urlpatterns = [
    path("profile/", views.ProfileView.as_view(), name="account_profile"),
    path("profile/avatar/remove/", views.remove_avatar, name="account_remove_avatar"),
    re_path(
        r"^confirm-email/(?P<key>[-:\w]+)/$",
        views.ConfirmEmailView.as_view(),
        name="account_confirm_email",
    ),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.PasswordResetFromKeyView.as_view(),
        name="account_reset_password_from_key",
    ),
    path("", include("allauth.account.urls")),
]
