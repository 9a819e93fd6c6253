# docker build --build-arg UID="$(id -u)" --build-arg COMMIT="$(git rev-parse --short HEAD)" -t logmill .
# mkdir -p data && docker run --rm -v "$PWD/data:/data" logmill
#
# Two images: spark, the default, and embedded (--target embedded), which has no Java and no Spark. The compiler stays
# in the stage that uses it. docs/operations.md says how to run them.
#
# Bookworm, because it is the Debian release that has Java 17.
FROM python:3.11-slim-bookworm AS packages
COPY requirements.txt /build/
COPY requirements-dashboard.txt requirements-databases.txt requirements-delta.txt requirements-storage.txt /app/
# /app/requirements.txt lists what the image has: doctor compares.
RUN grep -vE '^(ziglang|pyspark|py4j)==' /build/requirements.txt > /app/requirements.txt \
    && cat /app/requirements*.txt | grep -v '^-r' | pip install --no-cache-dir -r /dev/stdin

# Whoever builds the image owns what it writes into a mounted folder. Spark needs a user that has a name; UID may be that
# of a user whom Debian has already, such as 0.
ARG UID=1000
RUN useradd --non-unique --no-log-init --create-home --uid "$UID" logmill \
    && install -d -o logmill /data /var/cache/logmill

# Messages name the program as logmill, which is what a shell in the container calls it.
RUN printf '#!/bin/sh\nexec python -X logmill=logmill /app/main.py "$@"\n' > /usr/local/bin/logmill \
    && chmod 755 /usr/local/bin/logmill
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app XDG_CACHE_HOME=/var/cache container=docker
LABEL org.opencontainers.image.title="Logmill" \
      org.opencontainers.image.description="Watch time per user and region from activity logs, exactly" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT AND CC-BY-4.0"


# The program, and what the first run on a machine makes for all later ones: a container would forget it with every run.
FROM packages AS program
RUN grep -E '^ziglang==' /build/requirements.txt | pip install --no-cache-dir -r /dev/stdin
COPY LICENSE NOTICE pyproject.toml main.py config.py api.py /app/
COPY cli /app/cli
COPY data_generator /app/data_generator
COPY jobs /app/jobs
COPY pipeline /app/pipeline
COPY utils /app/utils
RUN python -m compileall -q /app && python -m pipeline.planning.prepare && chmod -R a+rX /app /var/cache/logmill

# What --version shows; the image holds no repository.
ARG COMMIT=
RUN rm /app/requirements*.txt && if [ "$COMMIT" ]; then echo "$COMMIT" > /app/COMMIT; fi


FROM packages AS embedded
COPY --from=program /app /app
COPY --from=program --chown=logmill /var/cache/logmill /var/cache/logmill

# Paths are relative to the mounted folder: pipeline_data/output becomes a link in it, so it cannot be the mount itself.
USER logmill
WORKDIR /data
ENTRYPOINT ["logmill"]
ARG COMMIT=
LABEL org.opencontainers.image.revision="$COMMIT"


FROM packages AS java
# Java links its manual pages into a folder that slim images lack.
RUN mkdir -p /usr/share/man/man1 && apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*
RUN grep -E '^(pyspark|py4j)==' /build/requirements.txt | tee -a /app/requirements.txt | pip install --no-cache-dir -r /dev/stdin


FROM java AS spark
COPY --from=program /app /app
COPY --from=program --chown=logmill /var/cache/logmill /var/cache/logmill
USER logmill
RUN python -m pipeline.planning.prepare spark
WORKDIR /data
ENTRYPOINT ["logmill"]
ARG COMMIT=
LABEL org.opencontainers.image.revision="$COMMIT"
