"""Settings of the whole site. Everything a deployment changes comes from the environment."""

from __future__ import annotations

import sys
import zoneinfo
from urllib.parse import quote, urlsplit

from django.utils.translation import gettext_lazy as _

from config import env
from config.embed_providers import PROVIDERS

BASE_DIR = env.BASE_DIR
if str(BASE_DIR) not in sys.path:
    sys.path.insert(0, str(BASE_DIR))
env.read_file()

# Willow takes the HEIF codec where it finds it. No picture here may be HEIF, and the codec would
# cost every process, a worker above all, 5 MB.
sys.modules.setdefault("pillow_heif", None)

VAR_DIR = env.folder("VAR_DIR", BASE_DIR / "var")

DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY", "only-for-development-" + "0" * 40 if DEBUG else "")
if not SECRET_KEY:
    env.fail("SECRET_KEY", "is empty; set a long random value (or DEBUG=true to try it out).")
# Keys of earlier days, which still open what they sealed.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS", [])
SITE_URL = env.web_address("SITE_URL", "http://127.0.0.1:8000")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["*"] if DEBUG else [urlsplit(SITE_URL).hostname])

# --- Applications ---------------------------------------------------------------------------

INSTALLED_APPS = [
    "accounts",
    "mailings",
    "blog",
    "home",
    "config.apps.CustomUsersAppConfig",
    "wagtail.contrib.frontend_cache",
    "wagtail.contrib.redirects",
    "wagtail.contrib.routable_page",
    "wagtail.contrib.simple_translation",
    "wagtail.contrib.typed_table_block",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    "allauth",
    "allauth.account",
    "django_q",
    "phonenumber_field",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sitemaps",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "config.page_cache.PageCacheMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "config.middleware.OutageMiddleware",
    "config.middleware.PlainInputMiddleware",
    "config.private_sections.PrivateSectionsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.language.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.OwnLocaleMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "mailings.middleware.WorkspaceMiddleware",
    "config.redirects.RedirectMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
# The site lies at the root of its host. Gunicorn takes another place from a header of this name,
# which a visitor may send, and kept pages would lead all others there.
FORCE_SCRIPT_NAME = ""

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"site": "config.template_tags"},
        },
    },
]

# --- Storage --------------------------------------------------------------------------------

DATABASES = {"default": env.database("DATABASE_URL", f"sqlite:///{quote(str(VAR_DIR))}/db.sqlite3")}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"] = {
        # Writers queue for the lock when a transaction begins, not in its middle, where
        # SQLite could only fail.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # Or a loss of power takes back what workers wrote of letters that had gone out.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        # A host that is cut off in the middle of a transaction must not hold its locks for hours:
        # PostgreSQL ends its session, and the host itself notices that nobody answers.
        # Without its compiler of queries: where it takes a query for a long one, compiling takes
        # the longer, ten times as long as the query itself (jit_above_cost).
        "options": "-c idle_in_transaction_session_timeout=20s -c jit=off",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 20_000,
        **DATABASES["default"].get("OPTIONS", {}),
    }
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.redis("REDIS_URL")
if REDIS_URL:
    redis_cache = {
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "vestnik",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 5},
    }
    CACHES = {
        "default": {"BACKEND": "config.caches.SturdyRedisCache", **redis_cache},
        # Says so when Redis does not answer.
        "strict": {"BACKEND": "django.core.cache.backends.redis.RedisCache", **redis_cache},
    }
else:
    in_process = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    CACHES = {"default": in_process, "strict": in_process}

# A CDN or proxy that keeps pages and is told when they change.
FRONTEND_CACHE = env.frontend_cache("FRONTEND_CACHE")
if FRONTEND_CACHE:
    WAGTAILFRONTENDCACHE = {"default": FRONTEND_CACHE}
# Our pages are purged by their own addresses, which are not one another's with a language before.
WAGTAILFRONTENDCACHE_LANGUAGES: list[str] = []

MEDIA_ROOT = VAR_DIR / "media"
MEDIA_URL = "/media/"
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "site" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Mail -----------------------------------------------------------------------------------

vars().update(env.mail_server("EMAIL_URL", "smtp://127.0.0.1:2525"))
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
# A worker's turn and the last answer that it waits for must end before the queue would kill it
# (TURN_SECONDS of mailings/tasks.py, Q_CLUSTER["timeout"]).
SMTP_TIMEOUT = env.number("SMTP_TIMEOUT", 30, low=1, high=180)
SMTP_CONNECTIONS = env.number("SMTP_CONNECTIONS", 4, low=1, high=100)
# A page that sends a letter (confirmation, password) must not hang as long as a mailing may.
EMAIL_TIMEOUT = min(SMTP_TIMEOUT, 10)
DEFAULT_FROM_EMAIL = env.mailbox("DEFAULT_FROM_EMAIL", "Vestnik <noreply@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

MAILING_INTERVAL = env.number("MAILING_INTERVAL", 60, low=1, high=3600)
MAILING_RATE_LIMIT = env.number("MAILING_RATE_LIMIT", None, low=0.01, high=1e6, whole=False)
MAILING_RETRY_DELAYS = env.seconds_list("MAILING_RETRY_DELAYS", "300,900,3600,14400,43200,86400")
JOURNAL_SYNC = env.flag("JOURNAL_SYNC", False)
DELIVERY_RETENTION_DAYS = env.number_or_none("DELIVERY_RETENTION_DAYS", 365, low=1, high=36500)

Q_CLUSTER = {
    "name": "vestnik",
    "label": "Queue",
    "workers": env.number("MAILING_WORKERS", 2, low=1, high=64),
    # Longest time of one task, and the time after which a task that nobody finished is handed
    # out again; every task is safe to run twice.
    "timeout": 300,
    "retry": 360,
    "ack_failures": True,
    "max_attempts": 3,
    "catch_up": False,
    "save_limit": 200,
    "bulk": 1,
    "queue_limit": 8,
    "poll": 0.2,
    **({"redis": env.with_time_limits(REDIS_URL)} if REDIS_URL else {"orm": "default"}),
}

# --- People ---------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/dashboard/"
LOGOUT_REDIRECT_URL = "/"

ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_FORMS = {
    "login": "accounts.forms.LoginForm",
    "signup": "accounts.forms.SignupForm",
    "add_email": "accounts.forms.AddEmailForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
    "reset_password_from_key": "accounts.forms.ResetPasswordKeyForm",
    "change_password": "accounts.forms.ChangePasswordForm",
    "set_password": "accounts.forms.SetPasswordForm",
}
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
# Limits of log-in attempts count by the address of the visitor, which a proxy would hide.
ALLAUTH_TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXIES", 0, low=0, high=10)
ACCOUNT_DEFAULT_HTTP_PROTOCOL = urlsplit(SITE_URL).scheme
PHONENUMBER_DB_FORMAT = "E164"
PHONENUMBER_DEFAULT_REGION = "RU"

# --- Languages and time ---------------------------------------------------------------------

LANGUAGES = [("en", _("English")), ("ru", _("Russian"))]
LANGUAGE_CODE = env.choice("LANGUAGE_CODE", "ru", ["ru", "en"])
WAGTAIL_I18N_ENABLED = True
WAGTAIL_CONTENT_LANGUAGES = LANGUAGES
LOCALE_PATHS = [BASE_DIR / "site" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.text("TIME_ZONE", "Europe/Moscow")
if TIME_ZONE not in zoneinfo.available_timezones():
    env.fail("TIME_ZONE", f"is {TIME_ZONE!r}; use a name such as Europe/Moscow.")

# --- Wagtail --------------------------------------------------------------------------------

WAGTAIL_SITE_NAME = _("Vestnik")
WAGTAILADMIN_BASE_URL = SITE_URL
WAGTAILADMIN_LOGIN_URL = "/accounts/login/"
WAGTAIL_FRONTEND_LOGIN_URL = "/accounts/login/"
WAGTAIL_PASSWORD_RESET_ENABLED = False
WAGTAIL_PASSWORD_MANAGEMENT_ENABLED = False
WAGTAIL_EMAIL_MANAGEMENT_ENABLED = False
WAGTAILADMIN_PERMITTED_LANGUAGES = LANGUAGES
WAGTAIL_GRAVATAR_PROVIDER_URL = None
WAGTAIL_ENABLE_UPDATE_CHECK = False
WAGTAIL_ENABLE_WHATS_NEW_BANNER = False
# config/redirects.py does so.
WAGTAILREDIRECTS_AUTO_CREATE = False
# Between the two steps of an import; with Redis they may meet two hosts.
WAGTAIL_REDIRECTS_FILE_STORAGE = "cache" if REDIS_URL else "tmp_file"
WAGTAILDOCS_SERVE_METHOD = "serve_view"
# What offices write, and nothing that a browser runs.
WAGTAILDOCS_EXTENSIONS = [
    *("csv", "doc", "docx", "md", "odp", "ods", "odt", "pdf", "ppt", "pptx", "rtf", "txt"),
    *("xls", "xlsx"),
]
# No SVG: it may hold scripts.
WAGTAILIMAGES_EXTENSIONS = ["avif", "gif", "jpg", "jpeg", "png", "webp"]
WAGTAILIMAGES_MAX_UPLOAD_SIZE = 10 * 1024 * 1024
WAGTAILEMBEDS_FINDERS = [{"class": "wagtail.embeds.finders.oembed", "providers": PROVIDERS}]
WAGTAILSEARCH_BACKENDS = {
    "default": {
        "BACKEND": "wagtail.search.backends.database",
        # PostgreSQL: this one stems words in Latin letters as English. SQLite takes no notice.
        "SEARCH_CONFIG": "russian",
    }
}

# --- Views of posts -------------------------------------------------------------------------

# Tests count when they say so, not when a thread comes by.
READINGS_SETTLE_BY_THEMSELVES = True

# --- Security -------------------------------------------------------------------------------

CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
X_FRAME_OPTIONS = "SAMEORIGIN"
# Wagtail shows previews in a frame of the same site.
SILENCED_SYSTEM_CHECKS = ["security.W019"]
SECURE_REFERRER_POLICY = "same-origin"
if SITE_URL.startswith("https://"):
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    CSRF_TRUSTED_ORIGINS = [SITE_URL]
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # Load balancers ask for the health page without TLS.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True

# --- Watching -------------------------------------------------------------------------------

METRICS_TOKEN = env.token("METRICS_TOKEN")
LOG_FORMAT = env.choice("LOG_FORMAT", "line", ["line", "json"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        # One object a line, with whatever else a record carries beside its message.
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["levelname", "name", "message"],
            "timestamp": "time",
            "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
            "json_ensure_ascii": False,
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        name: {"handlers": ["console"], "level": "INFO", "propagate": False}
        for name in ("vestnik", "django-q")
    },
}
