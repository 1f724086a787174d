# The viewer: `trajectories` and the little that it needs. Certificates and index addresses stay in the first stage.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS dependencies
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST
RUN --mount=type=secret,id=ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi \
 && python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
        'pydantic>=2.8' 'sqlalchemy>=2.0' 'psycopg[binary]>=3.2' 'rich>=13.7' \
        'zstandard>=0.22' 'alembic>=1.13' 'starlette>=0.40' 'uvicorn>=0.30' 'jinja2>=3.1' 'tokenizers>=0.21'

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/venv /opt/venv
COPY trajectories /opt/contextrl/trajectories
WORKDIR /opt/contextrl
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER nobody
EXPOSE 8600
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s CMD ["python3", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8600/health', timeout=5)"]
CMD ["python3", "-m", "trajectories.viewer", "--host", "0.0.0.0", "--port", "8600"]
