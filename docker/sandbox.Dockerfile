# The sandbox service. How packages were reached (index addresses, certificates) stays in the first stage.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS dependencies
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST
RUN --mount=type=secret,id=ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi \
 && python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check 'websockets>=15'

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/venv /opt/venv
COPY sandbox /opt/contextrl/sandbox
WORKDIR /opt/contextrl
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
EXPOSE 8700
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s CMD ["python3", "-m", "sandbox.service", "--check", "127.0.0.1:8700"]
CMD ["python3", "-m", "sandbox.service", "--host", "0.0.0.0", "--port", "8700", "--backend", "docker"]
