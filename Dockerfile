# syntax=docker/dockerfile:1
# One image for every role: web, workers, beat, migrate. Which one it is, its command says (docker-compose.yml).

FROM python:3.13-slim-bookworm AS packages
# A package index of your own: --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/omni/venv \
    && /opt/omni/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt

FROM python:3.13-slim-bookworm
ENV PATH=/opt/omni/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=omni.settings \
    OMNI_ENV=production \
    OMNI_HOME=/var/lib/omni \
    LOG_FORMAT=json
RUN groupadd --gid 10001 omni \
    && useradd --uid 10001 --gid omni --home-dir /var/lib/omni --create-home --shell /usr/sbin/nologin omni \
    && mkdir /var/lib/omni/files \
    && chown omni:omni /var/lib/omni/files
COPY --from=packages /opt/omni/venv /opt/omni/venv
COPY . /opt/omni/app
WORKDIR /opt/omni/app
# Translations and static files belong to the image: they change only with the code. The keys are for this step alone.
RUN python -c "from omni.devstack.translations import compile_catalogues; compile_catalogues()" \
    && SECRET_KEY=only-while-building OMNI_ENCRYPTION_KEYS=1:b25seS13aGlsZS1idWlsZGluZy10aGUtaW1hZ2UtISE= \
       python manage.py collectstatic --noinput --verbosity 0
# The program cannot change itself: code and static files belong to root.
USER omni
VOLUME /var/lib/omni/files
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["granian", "--interface", "wsgi", "omni.wsgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--workers", "2", "--blocking-threads", "4", "--no-ws", "--respawn-failed-workers", "--workers-kill-timeout", "10"]
