"""Settings of the processes, from the environment. Policy (schedule, gates) is rows, with a page.

docs/configure.md explains each one. A missing or malformed value stops the start, and names itself.
"""

from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from releasemgr.lib.database import database_settings
from releasemgr.lib.env import Env
from releasemgr.lib.identities import KeyFile, KeyPlace, read_identities
from releasemgr.lib.secret import secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()

VAR_DIR = env.path("RELEASEMGR_VAR", BASE_DIR / "var")
DEBUG = env.flag("RELEASEMGR_DEBUG", default=False)
SECRET_KEY = secret_key(env, VAR_DIR)
ALLOWED_HOSTS = env.words("RELEASEMGR_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("RELEASEMGR_ORIGINS")

# What releasemgr itself reads.
VENDOR_NAME = env.text("RELEASEMGR_VENDOR", "releasemgr")
ARTIFACT_DIR = env.path("RELEASEMGR_ARTIFACTS", VAR_DIR / "artifacts")
LOG_LEVEL = env.text("RELEASEMGR_LOG_LEVEL", "INFO").upper()
SSH_KEY_FILE = env.path("RELEASEMGR_SSH_KEY", VAR_DIR / "ssh" / "id_ed25519")
SSH_IDENTITIES: dict[str, KeyPlace] = {"": KeyFile(SSH_KEY_FILE)} | read_identities(
    "RELEASEMGR_SSH_IDENTITIES", env.words("RELEASEMGR_SSH_IDENTITIES")
)
RECIPE_DIRS = [Path(folder).expanduser().resolve() for folder in env.words("RELEASEMGR_RECIPES")]
SECRETS_DIR = env.path("RELEASEMGR_SECRETS_DIR", VAR_DIR / "secrets")
UPGRADE_SLOTS = env.number("RELEASEMGR_UPGRADE_SLOTS", 2, least=1, most=64)
HOSTS_PER_SLOT = env.number("RELEASEMGR_HOSTS_PER_SLOT", 50, least=1, most=500)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_q",
    "django_htmx",
    "django_tables2",
    "django_filters",
    "template_partials",
    "crispy_forms",
    "crispy_bootstrap5",
    "axes",
    "csp",
    "releasemgr.lib.history",
    "releasemgr.lib.heartbeats",
    "builds",
    "instances",
    "upgrades",
    "releasemgr",  # last: after a migration it keeps the roles, whose permissions the others bring
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "releasemgr.lib.private.private_pages",
    "releasemgr.lib.htmx.SignInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "releasemgr.urls"
WSGI_APPLICATION = "releasemgr.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "releasemgr.context.shell",
            ],
        },
    }
]

DATABASES = {"default": database_settings(env, VAR_DIR)}

Q_CLUSTER: dict[str, Any] = {
    "name": "control",  # signs the queued tasks: never rename while tasks wait
    "orm": "default",  # the same alias as our rows, so that enqueuing is part of the transaction
    "workers": 2,
    "queue_limit": 2,
    "bulk": 1,
    "timeout": 300,
    "retry": 1200,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "poll": 0.5,
    "guard_cycle": 0.5,
    "save_limit": 250,
    "recycle": 500,
    "scheduler": True,
    "log_level": LOG_LEVEL,
    "ALT_CLUSTERS": {
        "upgrades": {
            "workers": UPGRADE_SLOTS,
            "queue_limit": 1,  # a prefetched task runs twice when its lock ends in memory
            "bulk": 1,
            "timeout": 600,
            "retry": 2400,
            "max_attempts": 1,
            "ack_failures": True,
            "poll": 0.5,
            "guard_cycle": 0.5,
            "scheduler": False,
            "recycle": 50,
        },
    },
}

LANGUAGE_CODE = "en-gb"
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.zone("RELEASEMGR_TIME_ZONE", "UTC")
Q_CLUSTER["time_zone"] = TIME_ZONE

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
if DEBUG:
    STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "sign-in"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "releasemgr/locked_out.html"
AXES_VERBOSE = False

SECURE_HTTPS = env.flag("RELEASEMGR_HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_HTTPS
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_HTTPS else None
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # a neighbour below the same domain may speak HTTP
    "security.W008",  # the proxy redirects to HTTPS
    "security.W021",  # nobody's domain is put into browsers
]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

CRISPY_ALLOWED_TEMPLATE_PACKS = CRISPY_TEMPLATE_PACK = "bootstrap5"
DJANGO_TABLES2_TEMPLATE = "components/table.html"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # a selection of thousands of sites

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}
