"""One settings file: everything that differs between places comes from the environment (see
`.env.example`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url
import structlog
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent
OMNI_HOME = Path(os.environ.get("OMNI_HOME") or BASE_DIR / ".omni")


def env(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def days(text: str, default: int) -> int:
    """At least two: what is forgotten may be needed for a day, and nights are not all equally long."""
    if text and (not text.isdigit() or int(text) < 2):
        raise ImproperlyConfigured(f"{text!r} is not a number of days to keep something: at least 2")
    return int(text or default)


def rate(text: str, default: str) -> tuple[int, int]:
    """`600/10`: 600 requests in 10 seconds; `0`: no limit."""
    requests, _slash, seconds = (text or default).partition("/")
    if requests == "0":
        return 0, 1
    if not requests.isdigit() or not seconds.isdigit() or int(seconds) < 1:
        raise ImproperlyConfigured(f"{text!r} is not a rate: requests/seconds, such as 600/10, or 0 for none")
    return int(requests), int(seconds)


def env_list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in env(name, default).split(",") if item.strip()]


# --- safety -------------------------------------------------------------------------------------------------
DEMO_KEY = "demo-key-for-the-embedded-servers-only-never-in-production"
DEBUG = env("DEBUG", "0") == "1"
SECRET_KEY = env("SECRET_KEY", DEMO_KEY)
PRODUCTION = env("OMNI_ENV", "demo") == "production"
# `id:base64 of 32 bytes`, comma separated; the highest id encrypts, all of them decrypt.
OMNI_ENCRYPTION_KEYS = env_list("OMNI_ENCRYPTION_KEYS", "1:b21uaS1kZW1vLWtleS1vbmx5LWZvci1sb2NhbC11c2U=")
if PRODUCTION and (SECRET_KEY == DEMO_KEY or not env("OMNI_ENCRYPTION_KEYS")):
    raise ImproperlyConfigured("OMNI_ENV=production needs its own SECRET_KEY and OMNI_ENCRYPTION_KEYS.")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1],testserver")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env("TRUST_PROXY") == "1" else None
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
# Sandboxes and test servers live on this machine; a production site turns this off.
OMNI_ALLOW_LOOPBACK = env("OMNI_ALLOW_LOOPBACK", "0" if PRODUCTION else "1") == "1"

# --- rooms --------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "pgtrigger",
    "pghistory",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_htmx",
    "django_structlog",
    "csp",
    "omni.apps.OmniConfig",
    "omni.kernel.apps.KernelConfig",
    "products.apps.ProductsConfig",
    "inventory.apps.InventoryConfig",
    "members.apps.MembersConfig",
    "orders.apps.OrdersConfig",
    "distribution.apps.DistributionConfig",
    "reconciliation.apps.ReconciliationConfig",
    "reports.apps.ReportsConfig",
    "integrations.apps.IntegrationsConfig",
]
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # who calls is known by name; addresses are the proxy's business
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True  # omni.request_id has looked at it
MIDDLEWARE = [
    "omni.request_id.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "omni.csp.PolicyByPath",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "omni.history.HistoryOfPages",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "omni.urls"
WSGI_APPLICATION = "omni.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "omni" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- data ---------------------------------------------------------------------------------------------------
_database: dict[str, Any] = dict(
    dj_database_url.parse(env("DATABASE_URL", "postgresql:///omni"), conn_max_age=60, conn_health_checks=True)
)
_database["OPTIONS"] = {
    **_database.get("OPTIONS", {}),
    # Statements of single orders are prepared when they come a second time (omni.kernel.sql.few_rows). A pooler that
    # hands one connection to many, and cannot keep statements apart, needs them off: 0.
    "prepare_threshold": int(env("OMNI_PREPARE_AFTER", "2") or 0) or None,
    "options": "-c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000",
}
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env("REDIS_URL", "redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"  # sessions survive a wiped cache
OMNI_DOORBELL = env("OMNI_DOORBELL", "1") == "1"

# --- for how many days what is kept ---------------------------------------------------------------------------
OMNI_KEEP_MESSAGES_DAYS = days(env("OMNI_KEEP_MESSAGES_DAYS"), 30)
OMNI_KEEP_INBOUND_DAYS = days(env("OMNI_KEEP_INBOUND_DAYS"), 90)
OMNI_KEEP_PAYLOADS_DAYS = days(env("OMNI_KEEP_PAYLOADS_DAYS"), 180)
OMNI_KEEP_IMPORTS_DAYS = days(env("OMNI_KEEP_IMPORTS_DAYS"), 90)
OMNI_KEEP_ANSWERS_DAYS = days(env("OMNI_KEEP_ANSWERS_DAYS"), 7)
OMNI_KEEP_EVENTS_DAYS = days(env("OMNI_KEEP_EVENTS_DAYS"), 7)

# --- files --------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = OMNI_HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "omni" / "static"]
MEDIA_ROOT = OMNI_HOME / "files"  # never served: downloads go through views that check who asks
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- language and time --------------------------------------------------------------------------------------
LANGUAGE_CODE = env("LANGUAGE_CODE", "en")
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "omni" / "locale"]
FORMAT_MODULE_PATH = "omni.formats"
TIME_ZONE = env("TIME_ZONE", "Asia/Shanghai")
USE_I18N = True
USE_TZ = True

# --- web ----------------------------------------------------------------------------------------------------
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
_STRICT = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "manifest-src": [SELF],
    "worker-src": [SELF],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}
# The admin's Alpine needs eval and inline styles; everything else is strict (docs/adr). `omni.csp` picks by
# path.
CONTENT_SECURITY_POLICY = {"DIRECTIVES": _STRICT}
OMNI_ADMIN_CSP = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}

OMNI_API_RATE = rate(env("OMNI_API_RATE"), "600/10")
OMNI_API_FAILURES = rate(env("OMNI_API_FAILURES"), "100/60")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "integrations.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["omni.kernel.api.permissions.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["omni.kernel.api.rate.CallerThrottle"],
    # Whose address it is: the proxy's word, if there is a proxy; what stands before it anybody may have written.
    "NUM_PROXIES": 1 if env("TRUST_PROXY") == "1" else 0,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["omni.kernel.api.parsers.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "omni.kernel.api.pages.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "omni.kernel.api.schema.HouseSchema",
    "EXCEPTION_HANDLER": "omni.kernel.api.problems.answer_problem",
    "COERCE_DECIMAL_TO_STRING": True,
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Omni API",
    "DESCRIPTION": "Products, stock, orders and shipments of all channels.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_AUTHENTICATION": [],  # how to ask is no secret; the answers are
    "ENUM_NAME_OVERRIDES": {
        "Stage": "orders.states.Stage",
        "FulfilmentState": "orders.states.FulfilmentState",
        "Grade": "inventory.models.stock.Grade",
        "Discrepancy": "inventory.models.TransferLine.Discrepancy",
        "OrderState": "orders.api.serializers.STATES",
        "CaptureResult": "orders.api.serializers.RESULTS",
        "PriceKind": "products.models.Price.Kind",
        "DefineResult": "products.api.products_in.RESULTS",
        "DefineLineResult": "products.api.products_in.LINE_RESULTS",
        "AssortmentState": "products.models.assortment.AssortmentRun.State",
        "AssortmentLineState": "products.models.assortment.AssortmentRow.State",
        "PoolKind": "inventory.models.stock.PoolKind",
        "QuotaMode": "inventory.models.quota.QuotaRule.Mode",
        "PromotionMode": "inventory.models.quota.PromotionLock.Mode",
        "AllocationState": "inventory.models.AllocationRun.State",
        "AllocationLineState": "inventory.models.AllocationLine.State",
        "PromotionLockState": "inventory.models.PromotionLock.State",
        "RevocationState": "inventory.models.Revocation.State",
    },
}

# --- work in the background ---------------------------------------------------------------------------------
_socket_broker = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
CELERY_BROKER_URL = env("CELERY_BROKER_URL", _socket_broker)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than the longest task; swept every 5 s, so that a killed worker's tasks come back soon
    # (reliability.md 2.2).
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 240
CELERY_TASK_SOFT_TIME_LIMIT = 200
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 2000
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_TASK_DEFAULT_QUEUE = "default"
# Queues by blast radius: a hanging channel must not hold up the stock.
CELERY_TASK_ROUTES = {
    "*.tasks.forget_*": {"queue": "bulk"},
    "inventory.tasks.*": {"queue": "inventory"},
    "orders.tasks.*": {"queue": "inventory"},
    "products.tasks.*": {"queue": "inventory"},
    "integrations.tasks.pull_*": {"queue": "pull"},
    "integrations.tasks.push_*": {"queue": "push"},
    "integrations.tasks.take_*": {"queue": "webhook"},
    "omni.tasks.run_jobs": {"queue": "bulk"},
}
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"

# --- logs ---------------------------------------------------------------------------------------------------
_json_logs = env("LOG_FORMAT", "text") == "json"
_shared_processors: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# Plain tracebacks: the decorated ones show local variables, which hold keys and addresses, and take seconds of
# CPU under the log's own lock, so that a few errors in a row stop a whole worker.
_renderers: list[Any] = (
    [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    if _json_logs
    else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers],
            "foreign_pre_chain": _shared_processors,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "django_structlog": {"level": "WARNING"},
    },
}
structlog.configure(
    processors=[*_shared_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)

# Who may stand in `by`: the word before the colon, and the table in which it has a name and a page.
OMNI_ACTORS = {
    "user": "auth.user",
    "shop": "products.shop",
    "rule": "orders.reviewrule",
    "connection": "integrations.connection",
    "key": "integrations.apikey",
    "import": "kernel.import",
    "location": "inventory.location",
    "job": "kernel.job",
    "assortment": "products.assortmentrun",
}
OMNI_ACT_WORDS = "omni.words.ACTS"

# --- admin --------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "Omni",
    "SITE_HEADER": "Omni",
    "SITE_SUBHEADER": _("Commerce middle office"),
    "SITE_SYMBOL": "hub",
    "SHOW_HISTORY": True,
    "SHOW_LANGUAGES": True,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("ui/icon.svg")},
    ],
    "STYLES": [lambda request: static("ui/admin.css")],
    "SCRIPTS": [lambda request: static("ui/admin.js")],
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "omni.navigation.sidebar"},
    "COMMAND": {"search_callback": "omni.lookup.find_anything"},
    "DASHBOARD_CALLBACK": "omni.home.home_page",
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 265)",
            "100": "oklch(93% .03 265)",
            "200": "oklch(88% .06 265)",
            "300": "oklch(80% .1 265)",
            "400": "oklch(70% .16 265)",
            "500": "oklch(60% .2 265)",
            "600": "oklch(52% .21 265)",
            "700": "oklch(46% .2 265)",
            "800": "oklch(40% .17 265)",
            "900": "oklch(35% .14 265)",
            "950": "oklch(25% .1 265)",
        }
    },
}
