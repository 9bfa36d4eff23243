"""What a Celery worker runs: `celery -A ingestion_assets.defs.celery_app worker -c 1`."""

from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from ingestion_assets.defs.celery import CeleryLauncher

app = CeleryLauncher().celery
create_execute_job_task(app)
create_resume_job_task(app)
