-- The views of views.sql for PostgreSQL, which divides whole numbers to whole numbers unless one has a point.
create or replace view vw_monthly_sales as
select year, month, orders, customers, quantity, net_cents / 100.0 as net, profit_cents / 100.0 as profit,
       mean_order_cents / 100.0 as mean_order
from monthly_sales order by year, month;

create or replace view vw_customer_metrics as
select customer_id, segment, city, orders, quantity, net_cents / 100.0 as net, profit_cents / 100.0 as profit,
       mean_order_cents / 100.0 as mean_order, first_order, last_order
from customer_metrics;

create or replace view vw_product_performance as
select product_id, product_name, category, orders, quantity, net_cents / 100.0 as net, profit_cents / 100.0 as profit,
       first_sold, last_sold
from product_performance;
