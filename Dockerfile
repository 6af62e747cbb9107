# dinoseek on the processor: the page of a gallery, or any other command.
#   docker build -t dinoseek .
#   docker run --rm -v ./photos:/photos:ro -v dinoseek:/data dinoseek index /photos --gallery /data/photos.dino
#   docker run --rm -p 127.0.0.1:8000:8000 -e DINOSEEK_TOKEN -v ./photos:/photos:ro -v dinoseek:/data dinoseek
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    XDG_CACHE_HOME=/data/cache \
    XDG_DATA_HOME=/data/state

COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY src /src/src
RUN pip install "/src[web,faiss,parquet]" \
    && useradd --uid 10001 --create-home dinoseek \
    && install -d -o dinoseek -g dinoseek -m 0700 /data

USER 10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

ENTRYPOINT ["dinoseek"]
CMD ["serve", "--gallery", "/data/photos.dino", "--host", "0.0.0.0", "--public-url", "http://localhost:8000"]
