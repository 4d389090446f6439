from __future__ import annotations

import os
import sys
from pathlib import Path

from django.core.wsgi import get_wsgi_application

# The apps lie beside site/, which is where gunicorn finds this module.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

from blog.readings import timer  # noqa: E402 - it needs the models

# What a process before this one left uncounted.
timer.soon()
