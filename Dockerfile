# docker build --build-arg UID="$(id -u)" --build-arg COMMIT="$(git rev-parse --short HEAD)" -t logmill .
# mkdir -p data && docker run --rm -v "$PWD/data:/data" logmill
#
# Bookworm, because it is the Debian release that has Java 17.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*

COPY requirements.txt /app/
RUN pip install --no-cache-dir -r /app/requirements.txt

COPY LICENSE NOTICE pyproject.toml main.py config.py /app/
COPY cli /app/cli
COPY data_generator /app/data_generator
COPY pipeline /app/pipeline
COPY utils /app/utils

# What --version shows; the image holds no repository.
ARG COMMIT=
RUN [ -z "$COMMIT" ] || echo "$COMMIT" > /app/COMMIT

# Whoever builds the image owns what it writes into a mounted folder. Spark needs a user that has a name.
ARG UID=1000
RUN python -m compileall -q /app \
    && useradd --create-home --uid "$UID" logmill \
    && install -d -o logmill /data

# Paths are relative to the mounted folder: pipeline_data/output becomes a link in it, so it cannot be the mount itself.
USER logmill
WORKDIR /data
VOLUME /data
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app

# What the first run on a machine makes for all later ones; a container forgets it with every run.
RUN python -m pipeline.planning.prepare
ENTRYPOINT ["python", "/app/main.py"]
